"""Compile the gradients of a small Mask R-CNN for a TPU slice; print JSON.

This is a separate program, as a process can load the TPU compiler only once.
"""

import dataclasses
import json
from typing import Any

import jax

from carafe_jax.tasks.detection import DetectionBatch, detection_losses
from carafe_jax.train.mesh import batch_sharding, replicated
from experiments.benchmarks.networks.collectives import (
    collectives_of,
    other_elements,
    reduces_gradients,
)
from experiments.benchmarks.networks.pods import mesh_of
from tests import tiny_detectors


def main() -> None:
    """Print the number of all-reduces, and the collectives of anything else."""
    mesh = mesh_of("v5e:4x4")
    detector = tiny_detectors.mask_rcnn()
    variables = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)),
        tiny_detectors.variables_of(detector),
    )
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            (mesh.size, *x.shape[1:]), x.dtype, sharding=batch_sharding(mesh)
        ),
        tiny_detectors.batch(),
    )

    def gradients(variables: Any, batch: DetectionBatch, key: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            losses = detection_losses(
                detector,
                {**variables, "params": params},
                batch,
                key,
                settings=tiny_detectors.TRAINING,
            )
            return losses.total

        return jax.grad(loss)(variables["params"])

    key = jax.eval_shape(lambda: jax.random.key(0))
    with jax.set_mesh(mesh):
        jitted = jax.jit(gradients, out_shardings=replicated(mesh))
        compiled = jitted.lower(variables, batch, key).compile()
    found, params = collectives_of(compiled.as_text() or ""), variables["params"]
    others = [one for one in found if not reduces_gradients(one, params)]
    report = {
        "all_reduces": sum(one.kind == "all-reduce" for one in found),
        "others": [
            {**dataclasses.asdict(one), "of": str(other_elements(one, params))}
            for one in others
        ],
    }
    print(json.dumps(report))  # noqa: T201


if __name__ == "__main__":
    main()
