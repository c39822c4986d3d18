"""Run the operator on four virtual CPU devices and print what came out, as JSON.

A program of its own: the number of devices is fixed once a process has used JAX.
"""

import json
import os
import sys
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from carafe_jax import reassemble
from carafe_jax.ops import _blocks
from tests.ops.cases import Case

COLLECTIVES = "all-gather", "all-to-all", "all-reduce", "collective-permute"


def compare(case: Case, block_bytes: int) -> dict[str, Any]:
    """Compare the sharded with the plain results; look for communication."""
    _blocks._BLOCK_BYTES = block_bytes
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))

    def run(features: Any, kernels: Any, cotangent: Any) -> tuple[Any, ...]:
        out, pullback = jax.vjp(
            lambda x, y: reassemble(x, y, scale=case.scale), features, kernels
        )
        return out, *pullback(cotangent)

    arrays = case.draw(np.float32, np.float32)
    with jax.set_mesh(mesh):
        sharded = [jax.device_put(x, sharding) for x in arrays]
        compiled = jax.jit(run).lower(*sharded).compile()
        results = compiled(*sharded)
    expected = jax.jit(run)(*(jax.device_put(x, jax.devices()[0]) for x in arrays))
    text = compiled.as_text()
    assert text is not None
    return {
        "devices": [len(x.sharding.device_set) for x in results],
        "split": [not x.sharding.is_fully_replicated for x in results],
        "error": max(
            float(np.max(np.abs(np.asarray(x) - np.asarray(y))))
            for x, y in zip(results, expected, strict=True)
        ),
        "collectives": [name for name in COLLECTIVES if name in text],
    }


if __name__ == "__main__":
    found = [
        compare(Case(scale, kernel_size=3, groups=2, shape=(8, 6, 5, 4)), int(size))
        for scale, size in (argument.split(":") for argument in sys.argv[1:])
    ]
    print(json.dumps(found))  # noqa: T201
