"""Names and values in stored configurations that later versions changed."""

from collections.abc import Mapping
from typing import Any

_NAMES = {"data.masks.hole_share": "data.masks.hole_fraction"}
_VALUES = {("network.downsampler", "lip_own"): "lip_bottleneck"}


def with_current_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored fields under their current names, with their current values.

    Earlier versions counted `loop.evaluate_every` in epochs if the length was in
    epochs. Such a number becomes None, an evaluation after each epoch.

    Args:
      fields: Values by the path of their field, such as "loop.steps".
    """
    current = {_NAMES.get(name, name): value for name, value in fields.items()}
    for (name, old), new in _VALUES.items():
        if current.get(name) == old:
            current[name] = new
    # Only versions that stored `save_every` counted in epochs.
    if "loop.save_every" in fields and fields.get("loop.epochs") is not None:
        current["loop.evaluate_every"] = None
    # The only choice before there was one.
    if fields.get("network.architecture") == "upernet":
        current.setdefault("training.labels_at", "first")
    return current
