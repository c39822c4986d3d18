"""The reassemblies of a network, with the kernels that they predicted."""

import collections
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn import CARAFE
from carafe_jax.ops import Scale


class Level(NamedTuple):
    """One reassembly of a map."""

    kernels: Float[Array, "n oh ow g taps"]
    """As `carafe_jax.reassemble` takes them."""
    scale: Scale = 2
    """Output pixels per source pixel along each side."""
    size: tuple[int, int] | None = None
    """Height and width of the map that was reassembled. None: the largest that gives
    the kernels' size (down-sampling by 2, an odd map and one that is larger by a row
    give the same), but no larger than the output of the level before."""


@no_type_check
def reassembly_levels(
    model: nn.Module, variables: Mapping[str, Any], *args: Any, **kwargs: Any
) -> dict[str, Level]:
    """Run a model and return what each of its CARAFE++ layers did.

    It equals `model.apply(variables, *args, **kwargs)` with the kernels that
    `carafe_jax.CARAFE` sows kept, beside the scale and the size of the source.

    Args:
      model: A network with CARAFE++ layers, or one such layer.
      variables: Its variables.
      *args: What the model is called with.
      **kwargs: The same, by name.

    Returns:
      A level for each call of a CARAFE++ layer, in the order of the calls, by the path
      of the layer in `variables["params"]`, such as "down_1/carafe" ("" where the model
      is the layer). The second call of a layer is "path#2", and so on.

    Raises:
      RefusedError: A layer sits in a lifted transformation, such as `flax.linen.scan`,
        that does not hand out its kernels call by call.
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
            "`model` must hand out the kernels of each call of its CARAFE++ layers: "
            "take them out of lifted transformations, got kernels of "
            f"{len(kernels)} calls out of {calls} of {'/'.join(path)!r}."
        )
    return kernels
