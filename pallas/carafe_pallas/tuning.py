"""Tuned configurations, shipped as one JSON file for each kind of device."""

import functools
import importlib.resources
import json
import re
from importlib.resources.abc import Traversable
from typing import Any

from carafe_pallas.backend import BackendModule
from carafe_pallas.call import Call, Launch


def config_for(
    module: BackendModule, call: Call, launch: Launch, *, device_kind: str | None
) -> Any:
    """Return the tuned configuration of a launch, or the heuristic one if not tuned.

    Args:
      module: The backend.
      call: The call to run; configurations do not depend on its batch.
      launch: Name of the launch.
      device_kind: JAX's name of the device; None if unknown.
    """
    backend = module.__name__.rpartition(".")[2]
    tuned = {} if device_kind is None else _load(file_name(device_kind))
    found = tuned.get(entry_key(backend, call, launch))
    if found is None:
        return module.heuristic(call, launch)
    return module.TuningConfig(**found)


def entry_key(backend: str, call: Call, launch: Launch) -> str:
    """Return the key of a call in the file of a device."""
    rows, columns = call.geometry.rows, call.geometry.columns
    return " ".join(
        (
            backend,
            launch,
            f"{rows.up}/{rows.down}",
            f"k{rows.kernel_size}",
            f"g{call.geometry.groups}",
            f"{rows.size}x{columns.size}x{call.channels}",
            f"{call.features_dtype}*{call.kernels_dtype}",
            str(call.normalizer),
        )
    )


def file_name(device_kind: str) -> str:
    """Return the name of the file of a device: "TPU v5 lite" is tpu_v5_lite.json."""
    return re.sub(r"\W+", "_", device_kind.strip().lower()) + ".json"


def folder() -> Traversable:
    """Return the folder of the files."""
    return importlib.resources.files("carafe_pallas") / "tuned"


@functools.cache
def _load(name: str) -> dict[str, dict[str, Any]]:
    path = folder() / name
    return json.loads(path.read_text())["configs"] if path.is_file() else {}
