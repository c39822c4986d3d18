"""Compiled programs: what they hold in memory, whether they fit, whether they agree."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from experiments.benchmarks.reassembly.providers import Computation, Operands


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A computation, compiled. Sizes in bytes; None where the compiler tells none."""

    computation: Computation
    compiled: jax.stages.Compiled
    temporaries: int | None
    arguments_and_outputs: int | None

    def __call__(self, *arguments: Array) -> tuple[Array, ...]:
        """Run to the end, on the computation's own arguments if none are given."""
        out = self.compiled(*(arguments or self.computation.arguments))
        return tuple(jax.tree.leaves(jax.block_until_ready(out)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skip:
    """A computation that cannot be timed, and why."""

    provider: str
    reason: str


def compile_program(computation: Computation) -> Program | Skip:
    """Compile, unless no kernel can run the call or memory would not hold it."""
    try:
        lowered = jax.jit(computation.function).lower(*computation.arguments)
        compiled = lowered.compile()
    except NotImplementedError as error:
        return Skip(provider=computation.provider, reason=str(error))
    memory = compiled.memory_analysis()
    program = Program(
        computation=computation,
        compiled=compiled,
        temporaries=memory and memory.temp_size_in_bytes,
        arguments_and_outputs=memory
        and memory.argument_size_in_bytes + memory.output_size_in_bytes,
    )
    needed = memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else 0
    available = _available_bytes()
    if available is not None and needed > available:
        reason = (
            f"needs {needed / 1e9:.1f} GB of temporaries and outputs, "
            f"{available / 1e9:.1f} GB are free"
        )
        return Skip(provider=computation.provider, reason=reason)
    return program


def check_agreement(programs: Sequence[Program], operands: Operands) -> None:
    """Refuse to time programs that do not compute the same.

    The formulations of the reassembly must agree with each other, `nearest` with a
    reassembly by kernels that are one in the centre and zero elsewhere.

    Raises:
      ValueError: A program disagrees; the message says by how much.
    """
    reassembling = [
        p for p in programs if p.computation.family in ("carafe", "stacked")
    ]
    if not reassembling:
        return
    first, *others = reassembling
    if others:
        expected = first()
        for program in others:
            _compare(program, program(), expected, first)
    for program in programs:
        if program.computation.family == "nearest":
            features, _, *cotangent = first.computation.arguments
            out, *gradients = first(features, _centre(operands.kernels), *cotangent)
            _compare(program, program(), (out, *gradients[:1]), first)


def _centre(kernels: Array) -> Array:
    return jnp.zeros_like(kernels).at[..., kernels.shape[-1] // 2].set(1)


def _compare(
    program: Program, found: Iterable[Array], expected: Iterable[Array], other: Program
) -> None:
    for got, want in zip(found, expected, strict=True):
        # The 16-bit formulations round gradients at different places.
        tolerance = 1e-4 if got.dtype.itemsize >= 4 else 5e-2
        difference = _largest(got.astype(jnp.float32) - want.astype(jnp.float32))
        if not difference <= tolerance * _largest(want.astype(jnp.float32)):
            raise ValueError(
                f"`{program.computation.provider}` must agree with "
                f"`{other.computation.provider}`, got a difference of {difference:.2e} "
                f"in an array of shape {got.shape}."
            )


def _largest(x: Array) -> float:
    return float(jnp.max(jnp.abs(x)))


def _available_bytes() -> int | None:
    """Free memory of the device, or of the machine and its container on a CPU."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else limit - stats.get("bytes_in_use", 0)
    found = [_free_of_machine(), _free_of_container()]
    return min((free for free in found if free is not None), default=None)


def _free_of_machine() -> int | None:
    path = pathlib.Path("/proc/meminfo")
    if not path.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = path.read_text().splitlines()
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0][1]) if found else None


def _free_of_container() -> int | None:
    folder = pathlib.Path("/sys/fs/cgroup")
    limit, used = folder / "memory.max", folder / "memory.current"
    if not (limit.exists() and used.exists()) or limit.read_text().strip() == "max":
        return None
    return int(limit.read_text()) - int(used.read_text())
