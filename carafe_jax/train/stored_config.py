"""The configuration that a run was started with, in its `config.json`."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from carafe_jax.errors import RefusedError
from carafe_jax.files import check_local, write_atomically
from carafe_jax.train.fields import (
    check_known,
    defaults_of,
    flatten,
    growable_fields,
    unstored_fields,
)
from carafe_jax.train.processes import is_first

FORMAT = 2
"""Format of the `config.json` that `check_config` writes. Format 1 had no task."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredConfig:
    """The configuration that a run was started with, as its `config.json` holds it."""

    format: int
    """Version of the file."""
    task: str | None
    """Name of the task that was trained; None in format 1, which does not hold it."""
    fields: Mapping[str, Any]
    """Values by the field's path, such as "loop.steps", without those of fields made by
    `unstored_field`."""


def read_config(workdir: pathlib.Path) -> StoredConfig:
    """Return the configuration that a run was started with.

    Args:
      workdir: Folder of the run, with the `config.json` of `check_config`.

    Raises:
      RefusedError: The file does not exist or cannot be read.
    """
    check_local("workdir", workdir)
    path = workdir / "config.json"
    if not path.exists():
        raise RefusedError(
            "`workdir` must be the folder of a run, with a config.json, "
            f"got {str(workdir)!r}."
        )
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # Raised for invalid JSON and invalid UTF-8.
        raise _damaged(path, f"be JSON, got: {error}") from error
    if not isinstance(content, dict) or not content:
        raise _damaged(path, f"hold a JSON object, got {str(content)[:40]!r}")
    if "format" not in content:
        return StoredConfig(format=1, task=None, fields=content)
    # Format 1 has no such entry.
    if type(content["format"]) is not int or content["format"] < FORMAT:
        raise _damaged(
            path,
            f"have as its format an integer from {FORMAT} on, got "
            f"{content['format']!r}",
        )
    if content["format"] != FORMAT:
        raise RefusedError(
            f"{path} must have a format that this version reads, {FORMAT} at most, "
            f"got {content['format']!r}: a newer version of carafe-jax wrote it."
        )
    if not isinstance(content.get("config"), dict) or "task" not in content:
        raise _damaged(path, "have the entries `task` and `config`")
    if not isinstance(content["task"], str | None):
        raise _damaged(path, f"have a name as its task, got {content['task']!r}")
    return StoredConfig(format=FORMAT, task=content["task"], fields=content["config"])


def _damaged(path: pathlib.Path, rule: str) -> RefusedError:
    return RefusedError(
        f"{path} is damaged: it must {rule}. Delete it and resume the run with the "
        "options that it was started with, which are then written again."
    )


def has_checkpoints(workdir: pathlib.Path) -> bool:
    """Return whether a folder holds a run that can be resumed."""
    # The folder of an interrupted save has a longer name.
    return any(x.name.isdigit() for x in (workdir / "checkpoints").glob("[0-9]*"))


def check_config(
    config: Any,
    *,
    workdir: pathlib.Path,
    task: str,
    upgrade: Callable[[StoredConfig], StoredConfig] = lambda stored: stored,
) -> None:
    """Raise if a run is resumed with another configuration than it was started with.

    The first call writes `config.json` into the folder. A folder without a checkpoint
    holds nothing to resume, and accepts any configuration. Fields made by
    `unstored_field` may differ, even if an older version stored them. Those made by
    `growable_field` may grow; they may also shrink, but training raises if the run has
    already passed the new value. `config.json` is rewritten with the new values. A
    field that was not stored counts as its default.

    Args:
      config: A dataclass.
      workdir: Folder of the run; created if it is missing.
      task: Name of the task that is trained.
      upgrade: Returns a configuration of an older format in the current one, or
        unchanged if it cannot convert it.

    Raises:
      RefusedError: The folder holds checkpoints of a run of another task, with another
        configuration, or of an older format that `upgrade` does not convert; the
        message names the tasks, or each field that differs or that this version does
        not know. Or its `config.json` cannot be read.
    """
    if compare_config(config, workdir=workdir, task=task, upgrade=upgrade) != "same":
        new = StoredConfig(format=FORMAT, task=task, fields=flatten(config))
        _write(workdir / "config.json", new)


def compare_config(
    config: Any,
    *,
    workdir: pathlib.Path,
    task: str,
    upgrade: Callable[[StoredConfig], StoredConfig],
) -> Literal["new", "changed", "same"]:
    """Check as `check_config`, but write nothing.

    Returns:
      "new": The folder has no run to resume. "changed": It has one, whose stored
      configuration has to be rewritten. "same": It holds this configuration.
    """
    flat = flatten(config)
    if not (workdir / "config.json").exists() or not has_checkpoints(workdir):
        return "new"
    found = read_config(workdir)
    stored = upgrade(found)
    if stored.format != FORMAT:
        raise RefusedError(
            f"The run in {workdir} was started by an older version of carafe-jax "
            f"(its config.json has format {stored.format}, not {FORMAT}) and cannot "
            "be trained further by this one. Give another `workdir` to start afresh, "
            "or resume it with the version that started it. Its checkpoints can "
            "still be loaded."
        )
    if stored.task != task:
        raise RefusedError(
            f"The run in {workdir} trains the task {stored.task!r}, not {task!r}. "
            "Give another `workdir`."
        )
    check_known(sorted({*stored.fields} - {*flat} - unstored_fields(config)))
    # A field that did not exist yet had the effect of its default.
    before = {**defaults_of(config), **stored.fields}
    _check_same(before, flat, growing=growable_fields(config), workdir=workdir)
    new = StoredConfig(format=FORMAT, task=task, fields=flat)
    return "same" if found == new else "changed"


def _check_same(
    stored: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    growing: set[str],
    workdir: pathlib.Path,
) -> None:
    differences = []
    for name, now in sorted(fields.items()):
        before = stored.get(name)
        if now == before or (name in growing and _are_numbers(now, before)):
            continue
        shown = repr(before) if name in stored else "not stored"
        differences.append(f"`{name}` is {now!r} but was {shown}")
    if differences:
        raise RefusedError(
            f"The run in {workdir} was started with another configuration: "
            f"{'; '.join(differences)}. Give it the same values to resume it, or "
            "another `workdir` to start afresh."
        )


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(x, int | float) and not isinstance(x, bool) for x in values)


def _write(path: pathlib.Path, config: StoredConfig) -> None:
    if not is_first():
        return
    content = {"format": config.format, "task": config.task, "config": config.fields}
    with write_atomically(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")
