"""Numbers read from compiled training steps; compiling them takes minutes."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.networks.aot import Aot, ClassifierStep
from experiments.benchmarks.networks.collectives import (
    Collective,
    collectives_of,
    gathered_activations,
    reduces_gradients,
)
from experiments.benchmarks.networks.compiled_steps import CompiledStep
from tests.experiments.benchmarks.networks.recorded import recorded_columns

PROGRAM = """
  %a = (f32[64]{0}, bf16[3,3,8]{2,1,0}) all-reduce(%x, %y), channel_id=1
  %b = f32[] all-reduce-start(%z), channel_id=2
  %c = f32[] all-reduce-done(%b)
  %d = (f32[8,4]{1,0}, f32[32,4]{1,0}) all-gather-start(%p), dimensions={0}
  %e = u8[2,2]{1,0} all-to-all(%q)
  %f = f32[2]{0} fusion(%all-reduce.1), calls=%g
"""


def test_collectives_are_found_with_their_sizes():
    assert collectives_of(PROGRAM) == [
        Collective("all-reduce", (64, 72), 64 * 4 + 72 * 2),
        Collective("all-reduce", (1,), 4),
        Collective("all-gather", (128,), 512),
        Collective("all-to-all", (4,), 4),
    ]


def test_gathered_parameters_are_no_activations():
    state = {"kernel": jax.ShapeDtypeStruct((32, 4), jnp.float32)}
    (found,) = gathered_activations(collectives_of(PROGRAM), state)
    assert found.kind == "all-to-all"


def test_sums_of_gradients_and_scalars_are_told_from_sums_of_activations():
    both, scalar, gather, exchange = collectives_of(PROGRAM)
    params = {"scale": jnp.ones(64), "kernel": jnp.ones((3, 3, 8))}
    assert reduces_gradients(both, params)
    assert not reduces_gradients(both, {"scale": jnp.ones(64)})
    assert reduces_gradients(scalar, {})
    everything = {"a": jnp.ones(128), "b": jnp.ones(4)}
    assert not reduces_gradients(gather, everything)
    assert not reduces_gradients(exchange, everything)


def step(*, operations=197e9, traffic=819e3, reduced=0, temporaries=2**30):
    return ClassifierStep(
        topology="v5e:4x4",
        batch_size=1024,
        depth=50,
        downsampler="carafe",
        fully_sharded=False,
        compiled=CompiledStep(
            arguments=2**30,
            temporaries=temporaries,
            traffic=traffic,
            collectives=[Collective("all-reduce", (reduced // 4,), reduced)],
            seconds=1.0,
        ),
        operations=operations,
        activations_gathered=0,
    )


def test_time_is_predicted_from_the_slower_of_products_and_memory():
    assert step().predicted_seconds == pytest.approx(1e-3)
    assert step(traffic=819e7).predicted_seconds == pytest.approx(1e-2)
    assert step(reduced=10**8).predicted_seconds == pytest.approx(2e-3)


def test_more_than_the_memory_of_a_chip_does_not_fit():
    assert step().problem() is None
    large = step(temporaries=16 * 2**30)
    assert large.problem() == "carafe on v5e:4x4 does not fit."
    gathers = dataclasses.replace(step(), activations_gathered=1)
    assert gathers.problem() == "carafe on v5e:4x4 gathers an activation."


def test_columns_are_those_of_the_recorded_numbers():
    columns = list(step().columns())
    assert columns == recorded_columns("benchmarks/networks/aot.csv")


def test_batches_must_fit_topologies_and_norms():
    with pytest.raises(ValueError, match="`batch_sizes` must be 2, one for each"):
        Aot(batch_sizes=(1024,))
    with pytest.raises(ValueError, match="multiples of the 64 images"):
        Aot(batch_sizes=(1024, 100))
