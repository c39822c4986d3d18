"""TPU slices that programs are compiled for, on machines without a TPU."""

import importlib.util
import os
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from carafe_jax.errors import MissingExtraError
from carafe_jax.train.mesh import BATCH_AXIS, batch_sharding

Topology = Literal["v5e:4x4", "v5e:16x16"]
MEMORY = 16 * 2**30
"""Bytes of memory of a v5e chip, by Google's pages on Cloud TPU."""


def prepare_compiler() -> None:
    """Set up JAX to compile for a TPU that is not there; raise without libtpu."""
    if importlib.util.find_spec("libtpu") is None:
        raise MissingExtraError(
            'Compiling for a TPU needs libtpu: pip install "jax[tpu]".'
        )
    # Without a TPU, there is no metadata server and nothing to lock.
    os.environ.update(TPU_SKIP_MDS_QUERY="1", ALLOW_MULTIPLE_LIBTPU_LOAD="1")
    jax.config.update("jax_platforms", "cpu")


def mesh_of(topology: Topology) -> Mesh:
    """Return the mesh of all chips of a slice, on one axis."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    return Mesh(np.ravel(devices.devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def batch_array(shape: tuple[int, ...], dtype: Any, mesh: Mesh) -> Any:
    """Return the shape of an array of a batch, which is split over the chips."""
    return jax.ShapeDtypeStruct(shape, dtype, sharding=batch_sharding(mesh))
