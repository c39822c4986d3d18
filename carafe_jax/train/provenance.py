"""Steps, seconds and machines of a run, over all its sessions."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.machine import describe_machine
from carafe_jax.train.processes import is_first

_OWN = ("steps", "seconds", "sessions")


class Provenance:
    """Adds the session of this process to `provenance.json`, and keeps it up to date.

    The file holds the steps and the seconds of the whole run, the number of parameters,
    and a list of sessions, each with its start time, first and last step, planned
    length of the run, seconds and machine. A session that is killed counts up to its
    last save. For a run that was started from weights, it also holds the names of the
    arrays that were loaded and of those that were not.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        step: int,
        total: int,
        began: float,
        parameters: int | None = None,
        weights: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Read the previous sessions.

        Args:
          workdir: Folder of the run.
          step: Step of the checkpoint; 0 if there are no previous sessions.
          total: Planned steps of the run.
          began: `time.perf_counter` when the session began.
          parameters: Number of parameters of all networks. None: not written.
          weights: Names of arrays, from `StartReport.names`; None for a session that
            is not started from weights.
        """
        self._workdir, self._began = workdir, began
        content = read_provenance(workdir) if step else {}
        self._before = _sessions(content, step=step)
        self._extra = {k: v for k, v in content.items() if k not in _OWN}
        if parameters is not None:
            self._extra["parameters"] = parameters
        if weights is not None:
            self._extra["weights"] = weights
        machine = dataclasses.asdict(describe_machine())
        self._session = {
            "began": machine.pop("date"),
            "from_step": step,
            "to_step": step,
            "of_steps": total,
            "seconds": 0,
            "machine": machine,
        }

    @property
    def length(self) -> int | None:
        """Planned steps of the run in the previous session; None if not known."""
        steps = self._before[-1].get("of_steps") if self._before else None
        return steps if isinstance(steps, int) else None

    def update(self, step: int) -> None:
        """Write the file for a run that has reached a step."""
        seconds = round(time.perf_counter() - self._began, 1)
        self._session |= {"to_step": step, "seconds": seconds}
        sessions = [*self._before, self._session]
        if step == self._session["from_step"]:
            return
        content = {
            "steps": step,
            "seconds": round(sum(x["seconds"] for x in sessions), 1),
            **self._extra,
            "sessions": sessions,
        }
        _write(self._workdir / "provenance.json", content)


def read_provenance(workdir: pathlib.Path) -> dict[str, Any]:
    """Return the `provenance.json` of a run; empty where there is none.

    Args:
      workdir: Folder of the run.

    Returns:
      "steps" and "seconds" of the whole run, a list of "sessions", the number of
      "parameters", and, for a run that was started from weights, "weights", the names
      of its `StartReport`.

    Raises:
      RefusedError: The file is damaged.
    """
    path = workdir / "provenance.json"
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # Raised for invalid JSON and invalid UTF-8.
        raise _damaged(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _damaged(path, f"it holds {str(content)[:40]!r}")
    sessions = content.get("sessions", [])
    if not isinstance(sessions, list) or not all(map(_is_session, sessions)):
        raise _damaged(path, f"its sessions are {str(sessions)[:40]!r}")
    for name in ("steps", "seconds", "parameters"):
        if not _is_number(content.get(name, 0)):
            raise _damaged(path, f"its {name} are {str(content[name])[:40]!r}")
    return content


def _is_session(session: object) -> bool:
    return isinstance(session, dict) and all(
        _is_number(session.get(name)) for name in ("from_step", "to_step", "seconds")
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _damaged(path: pathlib.Path, reason: str) -> RefusedError:
    return RefusedError(
        f"{path} is damaged: {reason}. Delete it: only the steps and times of earlier "
        "sessions are lost."
    )


def _sessions(content: dict[str, Any], *, step: int) -> list[dict[str, Any]]:
    """Return the sessions before one that resumes from a step."""
    sessions = content.get("sessions", [])
    if not sessions and {"steps", "seconds"} <= set(content):
        # Files of the first version: one session, its machine at the top level.
        steps = content["steps"]
        sessions = [{"from_step": 0, "to_step": steps, "of_steps": steps}]
        sessions[0]["seconds"] = content["seconds"]
    # The last save of a killed session may not have been finished.
    return [{**x, "to_step": min(x["to_step"], step)} for x in sessions]


def _write(path: pathlib.Path, content: dict[str, Any]) -> None:
    if not is_first():
        return
    with write_atomically(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")
