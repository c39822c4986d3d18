"""One step of training: a pure function of state and batch, compiled once."""

from collections.abc import Callable

import jax
import optax
from flax.training.train_state import TrainState
from jax.sharding import Mesh

from carafe_jax.train.config import Loop, Optimizer
from carafe_jax.train.mesh import batch_sharding, replicated
from carafe_jax.train.task import Batch, Scalars, Task

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Scalars]]


def init_state(
    task: Task, optimizer: Optimizer, loop: Loop, *, mesh: Mesh
) -> TrainState:
    """Make the state before the first step, on every device of the mesh."""
    transformation = optimizer.transformation(loop.steps)

    def init() -> TrainState:
        params = task.init(_keys(loop)[0])
        # Apply functions differ from run to run; the task holds the one in use.
        return TrainState.create(apply_fn=None, params=params, tx=transformation)

    return jax.jit(init, out_shardings=replicated(mesh))()


def make_train_step(task: Task, loop: Loop, *, mesh: Mesh) -> TrainStep:
    """Compile the step of a task.

    The state is donated: use the one that is returned. Gradients are those of the mean
    loss of the whole batch, over all devices. Scalars are those of the task with
    "loss" and "gradient_norm".
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Scalars]:
        key = jax.random.fold_in(_keys(loop)[1], state.step)
        value_and_grad = jax.value_and_grad(task.loss, has_aux=True)
        (loss, scalars), gradients = value_and_grad(state.params, batch, key)
        norm = optax.tree.norm(gradients)
        return state.apply_gradients(grads=gradients), {
            **scalars,
            "loss": loss,
            "gradient_norm": norm,
        }

    return jax.jit(
        train_step,
        in_shardings=(replicated(mesh), batch_sharding(mesh)),
        out_shardings=(replicated(mesh), replicated(mesh)),
        donate_argnums=0,
    )


def _keys(loop: Loop) -> jax.Array:
    """Two keys of a run: of its parameters and of its steps."""
    return jax.random.split(jax.random.key(loop.seed))
