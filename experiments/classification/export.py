"""Export a trained classifier as one file, to be run without this project.

Cost: a compilation's first half.
Shows: the size of the file, and how to run it.
Command: python -m experiments.classification.export --workdir RUN --output model.jax
"""

import dataclasses
import json
import pathlib
from typing import Literal

import jax
import jax.export
import jax.numpy as jnp
from rich.console import Console

from carafe_jax.errors import RefusedError
from carafe_jax.train import Which, run
from experiments.classification.trained import Trained, load


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """A checkpoint, and what its program is for."""

    workdir: pathlib.Path
    """Folder of the run."""
    output: pathlib.Path
    """The file; the names of the classes go to a file of the same name, ending in
    .classes.json."""
    platform: Literal["cpu", "tpu", "cuda"] = "cpu"
    """What the program runs on."""
    batch_size: int | None = None
    """Images at a time; None: any number, which runs plain JAX. On a GPU it must be
    None: the kernels there cannot be written to a file."""
    checkpoint: Which = "best"
    """The best by top-1, or the last."""


def main(config: Export, console: Console) -> int:
    """Write the program, read it again, and say how to run it."""
    trained = load(config.workdir, which=config.checkpoint)
    data = export(trained, platform=config.platform, batch_size=config.batch_size)
    config.output.write_bytes(data)
    names = config.output.with_suffix(".classes.json")
    names.write_text(json.dumps(trained.classes) + "\n")
    side = trained.image_size
    shape = f"({config.batch_size or 'n'}, {side}, {side}, 3)"
    console.print(f"{config.output}: {len(data) / 2**20:.1f} MiB, classes: {names}")
    console.print(
        "To run it, give it RGB in [0, 255], uint8 of shape "
        f"{shape}:\n  program = jax.export.deserialize(open({str(config.output)!r}, "
        "'rb').read())\n  logits = program.call(images)",
        markup=False,
    )
    return 0


def export(
    trained: Trained,
    *,
    platform: Literal["cpu", "tpu", "cuda"],
    batch_size: int | None,
) -> bytearray:
    """Serialise the program from images, RGB in [0, 255], to logits.

    Raises:
      RefusedError: The platform's kernels cannot be written to a file.
    """
    if platform == "cuda" and batch_size is not None:
        raise RefusedError(
            "`batch_size` must be None for the platform 'cuda': JAX guarantees no "
            "compatibility of GPU kernels in files, and a batch of any size runs "
            f"plain JAX; got {batch_size}."
        )
    (n,) = (batch_size,) if batch_size else jax.export.symbolic_shape("n")
    side = trained.image_size
    image = jax.ShapeDtypeStruct((n, side, side, 3), jnp.uint8)
    program = jax.export.export(jax.jit(trained.logits), platforms=[platform])(image)
    return program.serialize()


if __name__ == "__main__":
    run(main, Export, doc=__doc__)
