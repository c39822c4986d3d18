"""CARAFE++, content-aware reassembly of features, for JAX and Flax."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carafe_jax import data as data
    from carafe_jax import errors as errors
    from carafe_jax import interop as interop
    from carafe_jax import losses as losses
    from carafe_jax import metrics as metrics
    from carafe_jax import models as models
    from carafe_jax import nn as nn
    from carafe_jax import ops as ops
    from carafe_jax import tasks as tasks
    from carafe_jax import train as train
    from carafe_jax import viz as viz
    from carafe_jax.nn.carafe import CARAFE as CARAFE
    from carafe_jax.nn.carafe import CARAFEDownsample as CARAFEDownsample
    from carafe_jax.nn.carafe import CARAFEUpsample as CARAFEUpsample
    from carafe_jax.ops import batch_axes as batch_axes
    from carafe_jax.ops import channel_axes as channel_axes
    from carafe_jax.ops import reassemble as reassemble
    from carafe_jax.ops import row_axes as row_axes

__version__ = "0.2.0.dev0"

__all__ = [
    "CARAFE",
    "CARAFEDownsample",
    "CARAFEUpsample",
    "__version__",
    "batch_axes",
    "channel_axes",
    "data",
    "errors",
    "interop",
    "losses",
    "metrics",
    "models",
    "nn",
    "ops",
    "reassemble",
    "row_axes",
    "tasks",
    "train",
    "viz",
]

_MODULES_OF_NAMES = {
    "CARAFE": "carafe_jax.nn.carafe",
    "CARAFEDownsample": "carafe_jax.nn.carafe",
    "CARAFEUpsample": "carafe_jax.nn.carafe",
    "batch_axes": "carafe_jax.ops",
    "channel_axes": "carafe_jax.ops",
    "reassemble": "carafe_jax.ops",
    "row_axes": "carafe_jax.ops",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _import_attribute(name: str) -> Any:
    """Import a name of `__all__` on first use."""
    from carafe_jax.extras import import_or_explain

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _MODULES_OF_NAMES:
        return import_or_explain(f"{__name__}.{name}")
    value = getattr(import_or_explain(_MODULES_OF_NAMES[name]), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # Otherwise type checkers would accept any attribute.
    __getattr__ = _import_attribute
