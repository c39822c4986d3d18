"""One step of training: a pure function of state and batch, compiled once."""

from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh

from carafe_jax.errors import RefusedError
from carafe_jax.train.loop_config import Loop
from carafe_jax.train.mesh import batch_sharding, replicated, state_shardings
from carafe_jax.train.optimizers import Optimizer, SupportsFreezing
from carafe_jax.train.paths import map_with_paths
from carafe_jax.train.state import TrainState
from carafe_jax.train.task import Auxiliary, Batch, Scalars, Task, Variables

Loss = Callable[[Variables, Batch, jax.Array], tuple[jax.Array, Auxiliary]]

CompilerOptions = dict[str, str | bool]

# At XLA's default level, threefry makes the initializers slow to compile for CPUs. At
# level 1, those of the quickstart's U-Net take 2.7 s of CPU time to compile instead of
# 9.6 s, and return the same bits (2 cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
_CPU_OPTIONS: CompilerOptions = {"xla_backend_optimization_level": "1"}


def init_state(
    task: Task, optimizer: Optimizer, loop: Loop, *, mesh: Mesh
) -> TrainState:
    """Return the state before the first step, on the devices of the mesh."""
    variables = init_variables(task, loop, mesh=mesh)
    return make_state(variables, optimizer, loop, mesh=mesh)


def init_variables(task: Task, loop: Loop, *, mesh: Mesh) -> Variables:
    """Return the variables of the task's initializers, on the devices of the mesh."""
    init = _initializers(task, loop)
    shardings = _shardings(jax.eval_shape(init), loop, mesh=mesh)
    lowered = jax.jit(init, out_shardings=shardings).lower()
    return lowered.compile(compiler_options=_compiler_options(mesh))()


def make_state(
    variables: Variables, optimizer: Optimizer, loop: Loop, *, mesh: Mesh
) -> TrainState:
    """Return the state before the first step, with copies of given variables."""
    create = _creation(optimizer, loop)
    shardings = _shardings(jax.eval_shape(create, variables), loop, mesh=mesh)
    return jax.jit(create, out_shardings=shardings)(variables)


def abstract_state(
    task: Task, optimizer: Optimizer, loop: Loop, *, mesh: Mesh
) -> TrainState:
    """Return the shapes and shardings of the state; no device has to be attached."""
    variables = jax.eval_shape(_initializers(task, loop))
    state = jax.eval_shape(_creation(optimizer, loop), variables)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        state,
        _shardings(state, loop, mesh=mesh),
    )


def _shardings(shapes: Any, loop: Loop, *, mesh: Mesh) -> Any:
    return state_shardings(shapes, mesh=mesh, fully_sharded=loop.fully_sharded)


def _initializers(task: Task, loop: Loop) -> Callable[[], Variables]:
    return lambda: dict(task.init(_keys(loop)[0]))


def _creation(optimizer: Optimizer, loop: Loop) -> Callable[[Variables], TrainState]:
    transformation = optimizer.transformation(loop.total_steps)

    def create(variables: Variables) -> TrainState:
        # Copies: the donated state may neither hold an array twice nor take the
        # caller's.
        collections = jax.tree.map(jnp.copy, dict(variables))
        params = collections.pop("params")
        return TrainState.create(
            # Apply functions differ from run to run; the task holds the one in use.
            apply_fn=None,
            params=params,
            tx=transformation,
            collections=collections,
            average=jax.tree.map(jnp.copy, params) if loop.average_decay else None,
        )

    return create


def _compiler_options(mesh: Mesh) -> CompilerOptions | None:
    if mesh.devices.flat[0].platform != "cpu":
        return None
    # Do not raise the level that the process has for all compilations.
    return None if jax.config.read("jax_disable_most_optimizations") else _CPU_OPTIONS


def make_train_step(
    task: Task, loop: Loop, *, mesh: Mesh, optimizer: Optimizer | None = None
) -> jax.stages.Wrapped:
    """Return the jitted training step of a task.

    The state is donated: use the one that is returned. Gradients are those of the mean
    loss of the whole batch, over all devices. Scalars are those of the task, with
    "loss" and "gradient_norm".

    A fully sharded state is gathered where it is used; activations stay on the devices
    of their examples.

    Args:
      task: Model and loss.
      loop: Length of the run, and the microbatches of a batch.
      mesh: From `make_mesh`.
      optimizer: Optimizer whose frozen parameters have no gradient: none is computed,
        and none counts in "gradient_norm". None freezes nothing.
    """
    freezing = optimizer if isinstance(optimizer, SupportsFreezing) else None
    loss = _loss(task, freezing)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Scalars]:
        key = jax.random.fold_in(_keys(loop)[1], state.step)
        variables = state.variables
        if loop.fully_sharded:
            variables = lax.with_sharding_constraint(variables, replicated(mesh))
        gradients, value, aux = _gradients(
            loss, variables, batch, key, accumulate=loop.accumulate
        )
        norm = optax.tree.norm(gradients)
        state = state.apply_gradients(
            grads=gradients, collections={**state.collections, **aux.collections}
        )
        if state.average is not None:
            average = optax.incremental_update(
                state.params, state.average, 1 - loop.average_decay
            )
            state = state.replace(average=average)
        if loop.fully_sharded:
            shardings = state_shardings(state, mesh=mesh, fully_sharded=True)
            state = lax.with_sharding_constraint(state, shardings)
        return state, {**aux.scalars, "loss": value, "gradient_norm": norm}

    # None: a sharded state keeps the sharding that it arrives with.
    whole = None if loop.fully_sharded else replicated(mesh)
    return jax.jit(
        train_step,
        in_shardings=(whole, batch_sharding(mesh)),
        out_shardings=(whole, replicated(mesh)),
        donate_argnums=0,
    )


class CompiledStep:
    """A step of `make_train_step`, compiled ahead of its first use."""

    def __init__(self, step: jax.stages.Wrapped) -> None:
        """Compile nothing yet."""
        self._step = step
        self._programs: dict[Hashable, jax.stages.Compiled] = {}

    def is_compiled_for(self, batch: Batch) -> bool:
        """Return whether there is a program for batches of these shapes."""
        return _shapes(batch) in self._programs

    def compile(self, state: TrainState, batch: Batch) -> None:
        """Compile the step for batches of these shapes."""
        self._programs[_shapes(batch)] = self._step.lower(state, batch).compile()

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Scalars]:
        """Run the step; it must be compiled for batches of these shapes."""
        return self._programs[_shapes(batch)](state, batch)


def _shapes(batch: Batch) -> Hashable:
    leaves, structure = jax.tree.flatten(batch)
    return structure, *((x.shape, x.dtype) for x in leaves)


def _loss(task: Task, optimizer: SupportsFreezing | None) -> Loss:
    """Return the task's loss, without gradients of frozen parameters."""
    if optimizer is None:
        return task.loss

    def stop(path: str, x: jax.Array) -> jax.Array:
        return lax.stop_gradient(x) if optimizer.is_frozen(path) else x

    def loss(variables: Variables, batch: Batch, key: jax.Array):
        params = map_with_paths(stop, variables["params"])
        return task.loss({**variables, "params": params}, batch, key)

    return loss


def _gradients(
    loss: Loss, variables: Variables, batch: Batch, key: jax.Array, *, accumulate: int
) -> tuple[Any, jax.Array, Auxiliary]:
    """Return gradients, loss and auxiliary outputs of a batch, by microbatches.

    They are means over the microbatches, weighted by `Auxiliary.weight`.
    """

    def micro(collections: Variables, batch: Batch, key: jax.Array):
        def of_params(params: Any) -> tuple[jax.Array, Auxiliary]:
            return loss({"params": params, **collections}, batch, key)

        (value, aux), gradients = jax.value_and_grad(of_params, has_aux=True)(params)
        result = gradients, value, aux.scalars
        return result, aux.weight, {**collections, **aux.collections}

    def weighted(collections: Variables, batch: Batch, key: jax.Array):
        result, weight, collections = micro(collections, batch, key)
        if weight is not None:
            result = jax.tree.map(lambda x: x * weight, result)
        return (result, weight), collections

    def add(carry: tuple[Variables, Any], numbered: tuple[jax.Array, Batch]):
        collections, total = carry
        index, examples = numbered
        result, collections = weighted(
            collections, examples, jax.random.fold_in(key, index)
        )
        return (collections, jax.tree.map(jnp.add, total, result)), None

    collections = dict(variables)
    params = collections.pop("params")
    if accumulate == 1:
        (gradients, value, scalars), _, collections = micro(collections, batch, key)
        return gradients, value, Auxiliary(scalars, collections)
    microbatches = jax.tree.map(lambda x: _split(x, accumulate), dict(batch))
    first = jax.tree.map(lambda x: x[0], microbatches)
    shapes, _ = jax.eval_shape(weighted, collections, first, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (collections, (total, weight)), _ = lax.scan(
        add, (collections, zeros), (jnp.arange(accumulate), microbatches)
    )
    divisor = accumulate if weight is None else jnp.where(weight > 0, weight, 1)
    gradients, value, scalars = jax.tree.map(lambda x: x / divisor, total)
    return gradients, value, Auxiliary(scalars, collections)


def _split(x: jax.Array, accumulate: int) -> jax.Array:
    """Put every n-th example into each microbatch: a device keeps its own examples."""
    if x.shape[0] % accumulate:
        raise RefusedError(
            f"`accumulate` must divide the {x.shape[0]} examples of a batch, "
            f"got {accumulate}."
        )
    return x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)


def _keys(loop: Loop) -> jax.Array:
    """Return two keys of a run: for its parameters and for its steps."""
    return jax.random.split(jax.random.key(loop.seed))
