"""A process of a tiny run: `python -m tests.tasks.classification.process`.

Its arguments are a folder of images, the folder of the run, the network's down-sampler,
and any of the options "distributed", "fully_sharded" and "stopped" (by a signal before
the fourth step).
"""

import os
import pathlib
import signal
import sys
from typing import Any

import jax
from rich.console import Console

from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification import (
    ClassificationData,
    ClassificationRun,
    ClassificationTask,
)
from carafe_jax.tasks.run import train_and_report
from carafe_jax.train import SGD, Loop, make_mesh
from carafe_jax.train.step import init_state
from tests.tasks.classification.small import use_small_resnet


def main() -> None:
    use_small_resnet()
    folder, workdir, *options = sys.argv[1:]
    downsampler: Any = options.pop(0)
    config = ClassificationRun(
        data=ClassificationData(
            source=folder, image_size=16, resize_size=16, batch_size=8, read_threads=1
        ),
        network=ClassifierConfig(
            depth=18, width=4, downsampler=downsampler, compressed_channels=4
        ),
        optimizer=SGD(learning_rate=0.3),
        loop=Loop(
            epochs=6,  # An epoch is one step.
            evaluate_every=3,
            log_every=1,
            fully_sharded="fully_sharded" in options,
        ),
        workdir=pathlib.Path(workdir),
        distributed="distributed" in options,
    )
    if "stopped" in options:
        stop_before(4)
    status = train_and_report(config, Console())
    if "fully_sharded" in options:
        check_that_states_are_sharded(config)
    sys.exit(status)


def stop_before(step: int) -> None:
    """Send a signal to the last process when it requests the batch of a step."""
    batches_of = ClassificationTask.batches

    def batches(self: ClassificationTask):
        inner = batches_of(self)
        taken = 0

        class Stopping:
            get_state, set_state = inner.get_state, inner.set_state

            def __iter__(self):
                return self

            def __next__(self):
                nonlocal taken
                taken += 1
                if taken == step and jax.process_index() == jax.process_count() - 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                return next(inner)

        return Stopping()

    ClassificationTask.batches = batches


def check_that_states_are_sharded(config: ClassificationRun) -> None:
    task = config.make_task()
    loop = config.loop.in_steps(task.steps_per_epoch())
    state = init_state(task, config.optimizer, loop, mesh=make_mesh())
    arrays = jax.tree.leaves((state.params, state.opt_state))
    whole = sum(x.nbytes for x in arrays)
    own = sum(x.addressable_shards[0].data.nbytes for x in arrays)
    assert own < 0.3 * whole, f"{own} bytes of {whole}, on {jax.device_count()} devices"


if __name__ == "__main__":
    main()
