"""One step of training: a pure function of state and batch, compiled once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh

from carafe_jax.errors import RefusedError
from carafe_jax.train.config import Loop
from carafe_jax.train.mesh import batch_sharding, replicated, state_shardings
from carafe_jax.train.optimizers import Optimization
from carafe_jax.train.state import TrainState
from carafe_jax.train.task import Aside, Batch, Scalars, Task, Variables

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Scalars]]


def init_state(
    task: Task, optimizer: Optimization, loop: Loop, *, mesh: Mesh
) -> TrainState:
    """Make the state before the first step, on the devices of the mesh."""
    init = _init(task, optimizer, loop)
    return jax.jit(init, out_shardings=_layout(init, loop, mesh=mesh))()


def abstract_state(
    task: Task, optimizer: Optimization, loop: Loop, *, mesh: Mesh
) -> TrainState:
    """Return the shapes of the state and how it lies on devices, here or not."""
    init = _init(task, optimizer, loop)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(init),
        _layout(init, loop, mesh=mesh),
    )


def _layout(init: Callable[[], TrainState], loop: Loop, *, mesh: Mesh) -> Any:
    state = jax.eval_shape(init)
    return state_shardings(state, mesh=mesh, fully_sharded=loop.fully_sharded)


def _init(task: Task, optimizer: Optimization, loop: Loop) -> Callable[[], TrainState]:
    transformation = optimizer.transformation(loop.steps)

    def init() -> TrainState:
        collections = dict(task.init(_keys(loop)[0]))
        params = collections.pop("params")
        return TrainState.create(
            # Apply functions differ from run to run; the task holds the one in use.
            apply_fn=None,
            params=params,
            tx=transformation,
            collections=collections,
            # A copy: the donated state may not hold an array twice.
            average=jax.tree.map(jnp.copy, params) if loop.average_decay else None,
        )

    return init


def make_train_step(task: Task, loop: Loop, *, mesh: Mesh) -> TrainStep:
    """Compile the step of a task.

    The state is donated: use the one that is returned. Gradients are those of the mean
    loss of the whole batch, over all devices. Scalars are those of the task with
    "loss" and "gradient_norm".

    A fully sharded state is gathered where it is used; what is computed of the examples
    stays with them.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Scalars]:
        key = jax.random.fold_in(_keys(loop)[1], state.step)
        variables = state.variables
        if loop.fully_sharded:
            variables = lax.with_sharding_constraint(variables, replicated(mesh))
        gradients, loss, aside = _gradients(task, loop, variables, batch, key)
        norm = optax.tree.norm(gradients)
        state = state.apply_gradients(
            grads=gradients, collections={**state.collections, **aside.collections}
        )
        if state.average is not None:
            average = optax.incremental_update(
                state.params, state.average, 1 - loop.average_decay
            )
            state = state.replace(average=average)
        if loop.fully_sharded:
            shardings = state_shardings(state, mesh=mesh, fully_sharded=True)
            state = lax.with_sharding_constraint(state, shardings)
        return state, {**aside.scalars, "loss": loss, "gradient_norm": norm}

    # What is not replicated lies as it is given.
    whole = None if loop.fully_sharded else replicated(mesh)
    return jax.jit(
        train_step,
        in_shardings=(whole, batch_sharding(mesh)),
        out_shardings=(whole, replicated(mesh)),
        donate_argnums=0,
    )


def _gradients(
    task: Task, loop: Loop, variables: Variables, batch: Batch, key: jax.Array
) -> tuple[Any, jax.Array, Aside]:
    """Gradients, loss and asides of a batch, part by part if that is asked for."""

    def part(collections: Variables, batch: Batch, key: jax.Array):
        def loss(params: Any) -> tuple[jax.Array, Aside]:
            return task.loss({"params": params, **collections}, batch, key)

        (value, aside), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        return (gradients, value, aside.scalars), {**collections, **aside.collections}

    def add(carry: tuple[Variables, Any], index_and_part: tuple[jax.Array, Batch]):
        collections, total = carry
        index, examples = index_and_part
        result, collections = part(
            collections, examples, jax.random.fold_in(key, index)
        )
        return (collections, jax.tree.map(jnp.add, total, result)), None

    collections = dict(variables)
    params = collections.pop("params")
    if loop.accumulate == 1:
        (gradients, value, scalars), collections = part(collections, batch, key)
        return gradients, value, Aside(scalars, collections)
    parts = jax.tree.map(lambda x: _split(x, loop.accumulate), dict(batch))
    first = jax.tree.map(lambda x: x[0], parts)
    shapes, _ = jax.eval_shape(part, collections, first, key)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (collections, total), _ = lax.scan(
        add, (collections, nothing), (jnp.arange(loop.accumulate), parts)
    )
    gradients, value, scalars = jax.tree.map(lambda x: x / loop.accumulate, total)
    return gradients, value, Aside(scalars, collections)


def _split(x: jax.Array, parts: int) -> jax.Array:
    """Take every so-manieth example into each part: a device keeps its own examples."""
    if x.shape[0] % parts:
        raise RefusedError(
            f"`accumulate` must divide the {x.shape[0]} examples of a batch, "
            f"got {parts}."
        )
    return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)


def _keys(loop: Loop) -> jax.Array:
    """Two keys of a run: of its parameters and of its steps."""
    return jax.random.split(jax.random.key(loop.seed))
