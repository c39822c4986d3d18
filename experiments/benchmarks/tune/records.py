"""The file of tuned configurations, which the launches use."""

import dataclasses
import datetime
import json
import os
from pathlib import Path
from typing import Any

import jax
from carafe_pallas import tuning


def record(folder: Path, device_kind: str, key: str, config: Any) -> Path:
    """Store a configuration in the file of a device; other entries are kept.

    The file is replaced atomically: it is always the old one or the new one, even if
    the run is stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / tuning.file_name(device_kind)
    entries = json.loads(path.read_text())["configs"] if path.exists() else {}
    entries[key] = dataclasses.asdict(config)
    contents = {
        "device": device_kind,
        "jax": jax.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "configs": dict(sorted(entries.items())),
    }
    temporary = path.with_suffix(".json.part")
    temporary.write_text(json.dumps(contents, indent=1) + "\n")
    os.replace(temporary, path)
    return path
