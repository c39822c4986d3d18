"""The provenance of an evaluation, written beside its tables."""

import dataclasses
import json
import pathlib
from typing import Any

from carafe_jax.files import write_atomically
from carafe_jax.machine import describe_machine


def write_evaluation_provenance(
    output: pathlib.Path, *, step: int, data: Any, **options: object
) -> None:
    """Write provenance.json: the step, the test data, options and the machine.

    Args:
      output: Folder of the evaluation.
      step: Step of the checkpoint.
      data: Dataclass with the fields of the test data.
      **options: Other options that the results depend on.
    """
    content = {
        "step": step,
        "data": dataclasses.asdict(data),
        **options,
        **dataclasses.asdict(describe_machine()),
    }
    with write_atomically(output / "provenance.json") as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
