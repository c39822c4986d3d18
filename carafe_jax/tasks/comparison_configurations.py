"""Configurations of a comparison's runs, in a JSON file beside the CSV of its rows."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from carafe_jax.data.sources.opening import name_of_source
from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.tasks.renamed_fields import with_current_names
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.train.fields import defaults_of, flatten, unstored_fields

Configuration = Mapping[str, Any]
"""Values by the path of their field, such as "loop.steps", and the task."""
_SEEDS = ("data.seed", "loop.seed")


def configuration_of(run: RunConfig) -> Configuration:
    """Return the fields that are equal in all runs of a method.

    Seeds are left out, and so are fields that do not affect results. Of a folder of
    images only the name is kept, as its path may differ between machines.
    """
    fields = {"task": run.task, **flatten(run)}
    fields["data.source"] = name_of_source(run.data.source)
    return {name: fields[name] for name in sorted(fields) if name not in _SEEDS}


def hash_of(configuration: Configuration) -> str:
    """Return the short hash that identifies a configuration in the rows."""
    text = json.dumps(configuration, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def differences(stored: Configuration, run: RunConfig) -> dict[str, str]:
    """Return the differences of a run from a stored configuration: a text per field.

    A field that is not stored did not exist yet, and counts as its default. Fields that
    do not affect results may differ, even if an older version stored them.
    """
    now = configuration_of(run)
    defaults = {k: v for k, v in defaults_of(run).items() if k in now}
    before = {**defaults, **with_current_names(stored)}
    before = {k: v for k, v in before.items() if k not in unstored_fields(run)}
    return {
        name: f"`{name}` is {_shown(now, name)} but was {_shown(before, name)}"
        for name in sorted({*now, *before})
        if name not in now or name not in before or now[name] != before[name]
    }


def read_configurations(path: pathlib.Path) -> dict[str, Configuration]:
    """Return the configurations in a file by their hashes; none if it is missing.

    Raises:
      RefusedError: The file is damaged.
    """
    if not path.exists():
        return {}
    try:
        stored: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:  # Raised by JSON and by UTF-8.
        raise _damaged(path, f"be JSON, got: {error}") from error
    if not isinstance(stored, dict):
        raise _damaged(path, f"hold a JSON object, got {str(stored)[:40]!r}")
    for name, fields in stored.items():
        if not isinstance(fields, dict) or hash_of(stored[name]) != name:
            raise _damaged(path, f"hold under {name!r} the fields with this hash")
    return stored


def add_configuration(path: pathlib.Path, configuration: Configuration) -> None:
    """Add a configuration to a file, unless the file holds it already.

    Raises:
      RefusedError: The file is damaged.
    """
    stored = read_configurations(path)
    name = hash_of(configuration)
    if name in stored:
        return
    text = json.dumps({**stored, name: configuration}, indent=2) + "\n"
    with write_atomically(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _shown(fields: Configuration, name: str) -> str:
    return repr(fields[name]) if name in fields else "absent"


def _damaged(path: pathlib.Path, rule: str) -> RefusedError:
    return RefusedError(
        f"{path} is damaged: it must {rule}. Restore it, or give another `results` to "
        "start another table."
    )
