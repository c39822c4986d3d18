"""Layer factories, the arguments of layers and networks that make their sublayers.

An argument such as `norm`, `downsample` or `upsample` is a layer factory: a class of
layers, a `functools.partial` of one, or another callable that returns a layer. A
factory is called with `name`. Of the other keyword arguments on offer it receives

- those that its signature names and that no partial has bound, so that a partial has
  precedence;
- all that no partial has bound, if it accepts any keyword (`**fields`).

A norm is offered `use_running_average`, `dtype`, `param_dtype` and, if the network sets
the initial value, `scale_init`; it is called as `layer(map)`. Norms of flax without a
running average, such as `nn.GroupNorm` and `nn.LayerNorm`, also work. A resampler is
offered `dtype`, `param_dtype` and `features`, the number of output channels; it is
called as `layer(map, train)`, or as `layer(map)` if it accepts no `train`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax.core
import numpy as np
from flax import linen as nn

from carafe_jax.errors import RefusedError, no_type_check

# Any: the layer is called with whatever arguments it accepts.
LayerFactory = Callable[..., Any]

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_EXAMPLES = {
    "norm": "BatchNorm",
    "weight_norm": "nn.SpectralNorm",
    "upsample": "CARAFEUpsample",
    "resample": "PartialCARAFE",
    "block": "Bottleneck",
    "stem": "Stem",
    "spatial_conv": "DeformableConv",
}


@no_type_check
def make_layer(
    argument: str,
    factory: LayerFactory,
    *inputs: object,
    name: str,
    required: Mapping[str, object] | None = None,
    **offered: object,
) -> Any:
    """Return the layer that a factory makes.

    Args:
      argument: Name of the argument, for errors.
      factory: Value of the argument.
      *inputs: Positional arguments of `factory`.
      name: Name of the layer.
      required: Keyword arguments that take precedence over a partial, passed if
        `factory` accepts them.
      **offered: Keyword arguments, passed if `factory` accepts them.

    Raises:
      RefusedError: `factory` makes no layers, or a required argument of it is missing.
    """
    bound = bind(argument, factory, required=required, **offered)
    _check_call(argument, factory, bound, *inputs, name=name)
    try:
        layer = bound(*inputs, name=name)
    except TypeError as error:  # From a callable that `**fields` are passed on to.
        given = ", ".join(f"`{keyword}`" for keyword in (*_bound(bound), "name"))
        raise RefusedError(
            f"`{argument}` must make layers from the keywords that it accepts, "
            f"{given}, got {name_of(factory)}: {error}."
        ) from error
    if not callable(layer):
        raise RefusedError(
            f"`{argument}` must make layers, got {name_of(factory)}, which makes "
            f"{layer!r}."
        )
    return layer


@no_type_check
def bind(
    argument: str,
    factory: LayerFactory,
    *,
    required: Mapping[str, object] | None = None,
    **offered: object,
) -> LayerFactory:
    """Return a factory with the offered keywords bound, by the rules of `make_layer`.

    Args:
      argument: Name of the argument, for errors.
      factory: Value of the argument.
      required: Keyword arguments that take precedence, as for `make_layer`.
      **offered: Keyword arguments, as for `make_layer`.

    Raises:
      RefusedError: `factory` makes no layers.
    """
    check_factory(argument, factory)
    bound = _bound(factory)
    fields = {key: value for key, value in offered.items() if key not in bound}
    fields |= required or {}
    taken = {key: value for key, value in fields.items() if takes(factory, key)}
    return functools.partial(factory, **taken)


@no_type_check
def make_norm(norm: LayerFactory, *, train: bool, name: str, **fields: Any) -> Any:
    """Return a norm that uses the statistics of the batch if `train`.

    Args:
      norm: Factory of the norm.
      train: `train` of the surrounding layer.
      name: Name of the layer.
      **fields: Keyword arguments, passed if `norm` accepts them.

    Raises:
      RefusedError: `norm` makes no layers, or `train` is no bool.
    """
    running = not checked_switch("train", train)
    return make_layer("norm", norm, use_running_average=running, name=name, **fields)


@no_type_check
def call_layer(
    argument: str, factory: LayerFactory, layer: LayerFactory, x: Any, train: bool
) -> Any:
    """Return the output of a layer that a factory made.

    `train` is passed if the layer accepts it, by position if possible, so that a lifted
    transform can keep it static.

    Args:
      argument: Name of the argument that holds the factory, for errors.
      factory: Value of the argument.
      layer: Layer that the factory made.
      x: Feature map, or a pytree of feature maps.
      train: `train` of the surrounding layer.

    Raises:
      RefusedError: The layer requires arguments other than a map and `train`.
    """
    call = _call_of(layer)
    second = list(_parameters(call).values())[1:2]
    if second and second[0].name == "train" and second[0].kind in _BY_POSITION:
        return layer(x, train)
    keywords = {"train": train} if takes(call, "train") else {}
    _check_call(argument, factory, call, x, **keywords)
    return layer(x, **keywords)


@no_type_check
def checked_switch(argument: str, value: Any) -> bool:
    """Return a flag, such as `train`, as a Python bool.

    Args:
      argument: Name of the flag.
      value: A bool, or a scalar array of one.

    Raises:
      RefusedError: The value is traced, or not a bool.
    """
    if isinstance(value, jax.core.Tracer):
        raise RefusedError(
            f"`{argument}` must be a Python bool, got a traced value. Pass it by "
            "position, and declare that position static to the lifted transform: "
            "nn.remat(Layer, static_argnums=(2,))(...)(features, True)."
        )
    if np.shape(value) or np.asarray(value).dtype != np.bool_:
        raise RefusedError(f"`{argument}` must be a bool, got {value!r}.")
    return bool(value)


@no_type_check
def check_factory(argument: str, factory: Any) -> None:
    """Raise unless the value is a factory; the error shows the right form.

    Args:
      argument: Name of the argument.
      factory: Value of the argument.

    Raises:
      RefusedError: The value is a layer, or cannot be called.
    """
    example = _EXAMPLES.get(argument, "CARAFEDownsample")
    rule = (
        f"`{argument}` must be a class of layers, or a functools.partial of one, so "
        "that a layer can be made at each place"
    )
    inner = _inner(factory)
    if isinstance(inner, nn.Module):
        kind = type(inner).__name__
        raise RefusedError(
            f"{rule}, got a layer: pass {kind} or functools.partial({kind}, ...), "
            f"not {kind}(...)."
        )
    if _has_signature(inner):
        _check_partial(argument, factory)
    else:
        raise RefusedError(
            f"{rule}, got {inner!r}: pass {example} or "
            f"functools.partial({example}, ...)."
        )


@no_type_check
def takes(factory: LayerFactory, keyword: str) -> bool:
    """Return whether a callable accepts a keyword, by name or through `**fields`."""
    return names(factory, keyword) or any(
        parameter.kind is parameter.VAR_KEYWORD
        for parameter in _parameters(factory).values()
    )


@no_type_check
def names(factory: LayerFactory, keyword: str) -> bool:
    """Return whether the signature of a callable names a keyword."""
    parameter = _parameters(factory).get(keyword)
    return parameter is not None and parameter.kind in (
        parameter.POSITIONAL_OR_KEYWORD,
        parameter.KEYWORD_ONLY,
    )


@no_type_check
def name_of(factory: LayerFactory) -> str:
    """Return the name of the class or function that makes layers."""
    inner = _inner(factory)
    return getattr(inner, "__name__", type(inner).__name__)


def _inner(factory: Any) -> Any:
    return factory.func if isinstance(factory, functools.partial) else factory


def _call_of(layer: Any) -> LayerFactory:
    return cast(LayerFactory, layer.__call__) if isinstance(layer, nn.Module) else layer


def _bound(factory: Any) -> Mapping[str, object]:
    return factory.keywords if isinstance(factory, functools.partial) else {}


def _has_signature(factory: Any) -> bool:
    try:
        return callable(factory) and bool(inspect.signature(factory))
    except (TypeError, ValueError):  # Some builtins have no signature.
        return False


def _check_partial(argument: str, factory: Any) -> None:
    name = name_of(factory)
    if not isinstance(factory, functools.partial):
        return
    try:
        inspect.signature(factory.func).bind_partial(*factory.args, **factory.keywords)
    except TypeError as error:
        raise RefusedError(
            f"`{argument}` must bind fields that {name} has, got {factory!r}: {error}."
        ) from error


def _parameters(function: LayerFactory) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _check_call(
    argument: str,
    factory: LayerFactory,
    function: LayerFactory,
    *inputs: object,
    **keywords: object,
) -> None:
    try:
        inspect.signature(function).bind(*inputs, **keywords)
    except TypeError as error:
        given = ", ".join(f"`{keyword}`" for keyword in keywords) or "a map"
        raise RefusedError(
            f"`{argument}` must accept {given} and require no other arguments, got "
            f"{name_of(factory)}: {error}."
        ) from error
