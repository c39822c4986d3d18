"""The reassemblies of a network and their predicted kernels."""

import collections
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn import CARAFE
from carafe_jax.ops import Scale


class Level(NamedTuple):
    """One reassembly of a feature map."""

    kernels: Float[Array, "n oh ow g taps"]
    """Kernels, in the layout of `carafe_jax.reassemble`."""
    scale: Scale = 2
    """Output pixels per source pixel along each side."""
    size: tuple[int, int] | None = None
    """Height and width of the source map. None: the largest size that fits the kernels
    (down-sampling by 2, an odd map and one that is larger by a row have outputs of
    equal size), but no larger than the output of the previous level."""


@no_type_check
def reassembly_levels(
    model: nn.Module, variables: Mapping[str, Any], *args: Any, **kwargs: Any
) -> dict[str, Level]:
    """Run a model and return the reassembly of each of its CARAFE++ layers.

    It calls `model.apply(variables, *args, **kwargs)` and collects the kernels that
    `carafe_jax.CARAFE` sows, with the scale and the size of the source map.

    Args:
      model: Network with CARAFE++ layers, or one such layer.
      variables: Variables of the model.
      *args: Positional arguments of the model.
      **kwargs: Keyword arguments of the model.

    Returns:
      A level for each call of a CARAFE++ layer, in the order of the calls, by the path
      of the layer in `variables["params"]`, such as "down_1/carafe" ("" if the model is
      the layer). The second call of a layer is "path#2", and so on.

    Raises:
      RefusedError: A layer is in a lifted transformation, such as `flax.linen.scan`,
        that does not return the kernels of each call.
    """
    calls: list[tuple[tuple[str, ...], Scale, tuple[int, int]]] = []

    def note(
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        layer = context.module
        if isinstance(layer, CARAFE) and context.method_name == "__call__":
            features = args[0] if args else kwargs["features"]
            calls.append((layer.path, layer.scale, tuple(features.shape[1:3])))
        return method(*args, **kwargs)

    with nn.intercept_methods(note):
        _, sown = model.apply(variables, *args, mutable=["intermediates"], **kwargs)
    levels: dict[str, Level] = {}
    counts = collections.Counter(path for path, _, _ in calls)
    seen: collections.Counter[tuple[str, ...]] = collections.Counter()
    for path, scale, size in calls:
        kernels = _kernels_of_layer(sown.get("intermediates", {}), path, counts[path])
        name = "/".join(path) + (f"#{seen[path] + 1}" if seen[path] else "")
        levels[name] = Level(kernels[seen[path]], scale, size)
        seen[path] += 1
    return levels


def _kernels_of_layer(
    intermediates: Any, path: tuple[str, ...], calls: int
) -> tuple[Array, ...]:
    for name in path:
        intermediates = intermediates.get(name, {})
    kernels = intermediates.get("kernels", ())
    if len(kernels) != calls or any(x.ndim != 5 for x in kernels):
        raise RefusedError(
            "`model` must sow the kernels of each call of its CARAFE++ layers, which "
            "lifted transformations can prevent, got kernels of "
            f"{len(kernels)} out of {calls} calls of {'/'.join(path)!r}."
        )
    return kernels
