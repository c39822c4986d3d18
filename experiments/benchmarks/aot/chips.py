"""The chips to compile for, and the packages that this needs."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from carafe_pallas.backend import PLATFORMS, Backend

ChipName = Literal["v5e", "v5p", "v6e", "h200", "a100"]
_DESCRIPTIONS = Path(__file__).parent / "descriptions"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A chip.

    topology: name in its PJRT plugin.
    bandwidth: memory bandwidth in bytes per second.
    on_chip: bytes that a kernel may hold: VMEM of a core, shared memory of a block.
    clock: bundles that a core of a TPU executes per second.
    cores: number of cores of a TPU that share the memory.
    """

    name: ChipName
    platform: Literal["tpu", "cuda"]
    topology: str
    bandwidth: float
    on_chip: int
    clock: float | None = None
    cores: int = 1

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends of its platform."""
        return PLATFORMS[self.platform]

    def missing(self) -> str | None:
        """Return how to install missing packages for this chip; None if none is."""
        lacking = [name for name in _NEEDED[self.platform] if not _installed(name)]
        if self.platform == "cuda" and not lacking and find_tool("ptxas") is None:
            lacking = ["nvidia-cuda-nvcc"]
        if not lacking:
            return None
        return f"{self.name} needs {', '.join(lacking)}: {_INSTALL[self.platform]}"

    def devices(self) -> Any:
        """Return the devices of one chip, or of the smallest slice of chips."""
        from jax.experimental import topologies

        if self.platform == "tpu":
            return topologies.get_topology_desc(
                platform="tpu", topology_name=self.topology
            ).devices
        description = (_DESCRIPTIONS / f"{self.name}.txtpb").read_text()
        return topologies.get_topology_desc(
            platform="cuda",
            topology_name=self.topology,
            topology=self.topology,
            target_config=description,
        ).devices

    def environment(self, dumps: Path) -> dict[str, str]:
        """Return the variables to set before JAX starts, which dump into a folder."""
        common = {
            "JAX_PLATFORMS": "cpu",
            # Compile afresh, with the optimisations of a real run.
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "false",
        }
        if self.platform == "tpu":
            flags = f"--xla_jf_dump_to={dumps} --xla_jf_dump_llo_text=true"
            return {
                **common,
                "LIBTPU_INIT_ARGS": _append("LIBTPU_INIT_ARGS", flags),
                # Without a TPU, there is no metadata server and nothing to lock.
                "TPU_SKIP_MDS_QUERY": "1",
                "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            }
        tools = find_tool("ptxas")
        path = [str(tools.parent)] if tools else []
        # JAX 0.12 dumps PTX only if all emitters of code are selected.
        flags = f"--xla_dump_to={dumps} --xla_dump_emitter_re=.*"
        return {
            **common,
            "XLA_FLAGS": _append("XLA_FLAGS", flags),
            "MOSAIC_GPU_DUMP_TO": str(dumps),
            "MOSAIC_GPU_DUMP_PTX": "1",
            "MOSAIC_GPU_DUMP_MLIR_PASSES": "1",
            # Otherwise `llvm-symbolizer`, if it is installed, is called again and
            # again, which takes five sixths of the compile time for Triton.
            "LLVM_DISABLE_SYMBOLIZATION": "1",
            "PATH": os.pathsep.join((*path, os.environ.get("PATH", ""))),
        }


# Peak rates, bandwidth and VMEM: `pltpu.get_tpu_info` and Google's pages on
# Cloud TPU. The clock is the peak rate in bfloat16 over what the matrix units do
# in a cycle, two operations in each cell: v5e 197e12 / (4 * 128 * 128 * 2), a core of
# v5p 229e12 over the same; v6e 918e12 / (2 * 256 * 256 * 2 * 2), whose units take two
# rows a cycle (its schedules have room for eight rows in every fourth bundle).
CHIPS: dict[ChipName, Chip] = {
    chip.name: chip
    for chip in (
        Chip(
            name="v5e",
            platform="tpu",
            topology="v5e:2x2",
            bandwidth=819e9,
            on_chip=128 * 2**20,
            clock=1.5e9,
        ),
        Chip(
            name="v5p",
            platform="tpu",
            topology="v5p:2x2x1",
            bandwidth=2765e9,
            on_chip=64 * 2**20,
            clock=1.75e9,
            cores=2,
        ),
        Chip(
            name="v6e",
            platform="tpu",
            topology="v6e:2x2",
            bandwidth=1638e9,
            on_chip=128 * 2**20,
            clock=1.75e9,
        ),
        Chip(
            name="h200",
            platform="cuda",
            topology="1x1x1",
            bandwidth=4800e9,
            on_chip=232448,
        ),
        Chip(
            name="a100",
            platform="cuda",
            topology="1x1x1",
            bandwidth=2039e9,
            on_chip=166912,
        ),
    )
}

_NEEDED = {
    "tpu": ("libtpu",),
    "cuda": ("jax-cuda13-plugin", "jax-cuda13-pjrt"),
}
_INSTALL = {
    "tpu": 'pip install "jax[tpu]"',
    "cuda": (
        f"pip install --no-deps jax-cuda13-plugin=={importlib.metadata.version('jax')} "
        f"jax-cuda13-pjrt=={importlib.metadata.version('jax')}; "
        "pip install nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-nvdisasm"
    ),
}


def find_tool(name: str) -> Path | None:
    """Return a program of the CUDA toolkit: from its wheels, else from the path."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).glob(f"*/bin/{name}")):
            return found
    found = shutil.which(name)
    return Path(found) if found else None


def version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(package: str) -> bool:
    return version(package) is not None


def _append(variable: str, flags: str) -> str:
    return f"{os.environ.get(variable, '')} {flags}".strip()
