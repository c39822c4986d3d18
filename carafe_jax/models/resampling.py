"""Construction, calls and checks of the resamplers of networks."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn.crop import crop
from carafe_jax.nn.factories import (
    LayerFactory,
    call_layer,
    check_factory,
    make_layer,
    name_of,
    names,
    takes,
)

_HINTS = {
    "downsample": "halves a map, to ceil(H / 2) x ceil(W / 2), such as "
    "CARAFEDownsample or functools.partial(CARAFE, scale='1/2')",
    "upsample": "doubles a map, to 2 H x 2 W, such as CARAFEUpsample or "
    "functools.partial(CARAFE, scale=2)",
}
# A resampler need not accept these; `block` handles others that it does not accept.
_DTYPES = {"dtype", "param_dtype"}


@no_type_check
def resample(
    argument: str,
    factory: LayerFactory,
    x: Any,
    train: bool,
    *,
    name: str,
    features: int | None = None,
    block: LayerFactory | None = None,
    **offered: Any,
) -> Any:
    """Return a map, halved or doubled by a resampler that is an argument of a network.

    The resampler can be any of `carafe_jax.nn`, or any other factory
    (`carafe_jax.nn.factories`). If the number of channels changes and the resampler
    cannot change it, `block` adds a convolution, as after CARAFE++ (arXiv:2012.04733,
    section 4.3), and applies the `offered` arguments that the resampler does not
    accept.

    Args:
      argument: Name of the argument, which ends with "downsample" or "upsample": that
        halves or doubles.
      factory: Value of the argument.
      x: Feature map, or a pytree of maps (n, h, w, c) of one size.
      train: Passed to the resampler.
      name: Name of the layer.
      features: Channels of the result. None: those of the map; nothing follows the
        resampler.
      block: Factory of a layer, called with `features`, `resample`, `name` and
        `offered`; required with `features`.
      **offered: Further keyword arguments; `dtype` and `param_dtype` are passed if they
        are accepted.

    Raises:
      RefusedError: `factory` makes no layer that halves or doubles the map.
    """
    check_factory(argument, factory)
    if features is None:
        # Only by that name, not through `**fields`: the channels need not change.
        if names(factory, "features"):
            offered["features"] = x.shape[-1]
        layer = make_layer(argument, factory, name=name, **offered)
    else:
        dtypes = {key: offered.pop(key) for key in _DTYPES & offered.keys()}
        required = {"features": features, **offered}
        layer = _make(argument, factory, block, name=name, required=required, **dtypes)
    resampled = call_layer(argument, factory, layer, x, train)
    _check_size(argument, factory, x, resampled)
    return resampled


@no_type_check
def upsample_to(
    argument: str,
    factory: LayerFactory | None,
    x: Any,
    train: bool,
    *,
    size: Sequence[int],
    resize: Callable[..., Any],
    name: str,
    **dtypes: Any,
) -> Any:
    """Return a map at the size of its partner in a pyramid, at most twice as large.

    An up-sampler doubles the map, and the result is cropped: rows and columns beyond
    the partner's are those of an odd size.

    Args:
      argument: Name of the argument that holds the factory.
      factory: Factory of an up-sampler, as for `resample`. None: `resize` is used.
      x: Feature map (n, h, w, c).
      train: Passed to the up-sampler.
      size: Rows and columns of the result.
      resize: Interpolation to a given size, such as `resize_bilinear`.
      name: Name of the layer.
      **dtypes: `dtype` and `param_dtype`, passed if they are accepted.

    Raises:
      RefusedError: `factory` makes no layer that doubles the map.
    """
    if factory is None:
        return resize(x, size=size)
    return crop(resample(argument, factory, x, train, name=name, **dtypes), size=size)


def _make(
    argument: str,
    factory: LayerFactory,
    block: LayerFactory | None,
    *,
    name: str,
    required: Mapping[str, Any],
    **dtypes: Any,
) -> Any:
    """Return a resampler made with `required`, or a `block` with them around one."""
    make = functools.partial(
        make_layer, argument, name=name, required=required, **dtypes
    )
    if block is None or all(names(factory, key) for key in required):
        return make(factory)
    around = functools.partial(block, resample=factory)
    if not all(takes(factory, key) for key in required):
        return make(around)
    try:
        return make(factory)
    except RefusedError:  # It accepts any keyword; the layer that it makes does not.
        return make(around)


def _check_size(argument: str, factory: LayerFactory, x: Any, resampled: Any) -> None:
    before, after = (jax.tree.leaves(tree)[0].shape[1:3] for tree in (x, resampled))
    if not all(isinstance(size, int) for size in (*before, *after)):
        return  # Symbolic sizes that are equal may compare as unequal.
    halved = tuple(-(-size // 2) for size in before)
    doubled = tuple(2 * size for size in before)
    direction = "downsample" if argument.endswith("downsample") else "upsample"
    if after != {"downsample": halved, "upsample": doubled}[direction]:
        raise RefusedError(
            f"`{argument}` must make a layer that {_HINTS[direction]}, got "
            f"{name_of(factory)}, which makes {after} of {before} pixels."
        )
