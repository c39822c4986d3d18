"""Counts and digest of a run's training set, stored in its folder."""

import dataclasses
import json
import pathlib

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.texts import counted
from carafe_jax.train import has_checkpoints, is_first

_NAME = "training_set.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """Counts and digest of a training set, by which a changed one is detected."""

    images: int
    objects: int | None = None
    """Objects to train on. None: the images have none."""
    digest: str
    """Hash of all that determines the set but for the pixels of the images."""

    def __str__(self) -> str:
        images = counted(self.images, "image")
        if self.objects is None:
            return images
        return f"{images} with {counted(self.objects, 'object')} to train on"


def claim_training_set(workdir: pathlib.Path, training_set: TrainingSet) -> None:
    """Write the training set of a new run; raise if a resumed run has another.

    Args:
      workdir: Folder of the run.
      training_set: Training set of its data.

    Raises:
      RefusedError: The folder holds checkpoints of a run with another training set, or
        a file of it that is damaged.
    """
    path = workdir / _NAME
    # Earlier versions did not write the file.
    resumes = has_checkpoints(workdir) and path.exists()
    if resumes and (known := _read(path)) != training_set:
        got = f"{training_set}"
        if got == str(known):
            got += ", but with other file names, sizes, annotations or label values"
        raise RefusedError(
            "`data.source` must have the training set that the run started with, "
            f"{known}, got {got}. Give another `workdir`, or delete {path} if "
            "the change is meant."
        )
    if is_first() and not resumes:
        text = json.dumps(dataclasses.asdict(training_set), indent=0) + "\n"
        with write_atomically(path) as partial:
            partial.write_text(text)


def _read(path: pathlib.Path) -> TrainingSet:
    try:
        return TrainingSet(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise RefusedError(
            f"{path} is damaged: it must be an object with `images` and `digest`, and "
            "`objects` for detection. Delete it and resume the run, which then writes "
            "it again, if the training set is unchanged."
        ) from error
