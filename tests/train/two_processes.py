"""One of two processes with two devices each; prints a line if all checks pass.

Its arguments are a folder that both processes use, and one that another run trains in.
Environment variables identify the two processes to each other.
"""

import logging
import pathlib
import sys
from typing import Any

import jax
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train import Loop, ShardedPredictor, is_first, join_processes, train
from tests.train.four_devices import OPTIMIZER, TASK, Wide
from tests.train.test_evaluators import WEIGHTS, batches, product


class Predicting:
    """Evaluator that predicts the examples of both processes."""

    name, every = "test", 2

    def __init__(self) -> None:
        self._predictor = ShardedPredictor(product)

    def evaluate(self, state: Any) -> dict[str, float]:
        params = {"w": state.params["wide"]}
        given = [own_part(batch) for batch in batches(6, 6)]
        outputs: Any = list(self._predictor({"params": params}, given))
        return {"score": float(np.mean([x["y"].mean() for x in outputs]))}


class Evaluated(Wide):
    """Task that is evaluated by the predictions of both processes."""

    def evaluators(self):
        return (Predicting(),)


def own_part(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    own = slice(3 * jax.process_index(), 3 * (jax.process_index() + 1))
    return {name: x[own] for name, x in batch.items()}


def predicts_the_whole_batch_in_each_process() -> None:
    valid = np.array([True, True, False, True, False, True])
    predictor: Any = ShardedPredictor(product)
    # Three examples of each process, for its two devices.
    given = [*batches(6, valid=valid), *batches(6)]
    found = list(predictor(WEIGHTS, [own_part(batch) for batch in given]))
    for batch, outputs in zip(given, found, strict=True):
        x = batch["x"][batch.get("valid", slice(None))]
        np.testing.assert_array_equal(outputs["x"], x)
        np.testing.assert_allclose(
            outputs["y"], x @ WEIGHTS["params"]["w"], rtol=1e-5, atol=1e-6
        )


def trains_from_weights_and_evaluates(folder: pathlib.Path) -> None:
    outcome = train(
        Evaluated(size=TASK.size),
        optimizer=OPTIMIZER,
        loop=Loop(steps=4, fully_sharded=True),
        workdir=folder,
        weights={"params": {"wide": np.ones((3, 8), np.float32)}},
    )
    assert outcome.scalars is not None
    assert outcome.weights is not None
    assert outcome.weights.loaded == ("params/wide",)


def is_refused_a_folder_in_use(folder: pathlib.Path) -> None:
    # Both processes raise the error of the first.
    error = r"that no other run trains in, got .* which process \d+ on .* trains in"
    with pytest.raises(RefusedError, match=error):
        train(
            Evaluated(size=TASK.size),
            optimizer=OPTIMIZER,
            loop=Loop(steps=4),
            workdir=folder,
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    join_processes()
    assert (jax.process_count(), jax.device_count()) == (2, 4)
    workdir = pathlib.Path(sys.argv[1])
    is_refused_a_folder_in_use(pathlib.Path(sys.argv[2]))
    predicts_the_whole_batch_in_each_process()
    trains_from_weights_and_evaluates(workdir)
    print("first" if is_first() else "second", "passed")  # noqa: T201
