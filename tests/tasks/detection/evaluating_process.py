"""A process of an evaluation: `python -m tests.tasks.detection.evaluating_process`.

It prints the numbers and a digest of the pictures. Its argument is "distributed", if it
is one of several.
"""

import hashlib
import json
import sys

import jax.numpy as jnp
import optax

from carafe_jax.tasks.detection.evaluator import DetectorEvaluator
from carafe_jax.train import TrainState, join_processes
from tests.tasks.detection.small_set import SmallData, SmallSet, predict


def evaluated() -> str:
    """Return the numbers, and a digest of the pictures, as JSON."""
    state = TrainState.create(
        apply_fn=predict,
        params={"confidence": jnp.float32(1)},
        tx=optax.sgd(0.1),
        collections={},
        average=None,
    )
    data = SmallData(held_out=SmallSet(unreadable=(3,)), moved=2.0)
    evaluator = DetectorEvaluator(predict, data)
    numbers = evaluator.evaluate(state)
    pictures = evaluator.draw(state)["samples"]
    return json.dumps([numbers, hashlib.sha256(pictures.tobytes()).hexdigest()])


if __name__ == "__main__":
    if "distributed" in sys.argv:
        join_processes()
    sys.stdout.write(evaluated())
