"""The line that a command prints when it is stopped between its files."""

import pathlib

from carafe_jax.texts import counted


def interrupted(
    done: str, finished: int, total: int, *, output: pathlib.Path, overwrite: bool
) -> str:
    """Return how much a command has done, and how it continues.

    Args:
      done: What it does to photographs, such as "Filled".
      finished: Number of photographs whose files are written.
      total: Number of all photographs.
      output: Folder of the files.
      overwrite: Whether the command was called with `--overwrite`, which starts anew.
    """
    command = "the command, without --overwrite," if overwrite else "the command"
    return (
        f"{done} {finished} of {counted(total, 'photograph')}, written to {output}. "
        f"Repeat {command} to continue."
    )
