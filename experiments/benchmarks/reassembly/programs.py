"""Compiled programs: their memory, whether it suffices, and whether they agree."""

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from experiments.benchmarks.clock import Timer, device_timer
from experiments.benchmarks.reassembly.config import Mode
from experiments.benchmarks.reassembly.memory import available_bytes
from experiments.benchmarks.reassembly.providers import (
    Computation,
    JaxComputation,
    Operands,
    nearest_by_kernels,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A computation, ready to run. Sizes are in bytes; None if not known.

    `start` launches it and returns an object for which `finish` waits; `arrays` returns
    the computation's results, NHWC, from that object. `device_timer` returns a timer by
    the clock of the device, or None if there is none.
    """

    computation: Computation
    start: Callable[[], Any]
    finish: Callable[[Any], Any]
    arrays: Callable[[Any], tuple[Array, ...]]
    temporaries: int | None = None
    arguments_and_outputs: int | None = None
    device_timer: Callable[[], Timer | None] = lambda: None

    def results(self) -> dict[str, Array]:
        """Run the program and return its results by name."""
        found = self.arrays(self.finish(self.start()))
        return dict(zip(self.computation.results, found, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skip:
    """A computation that cannot be timed, and the reason."""

    provider: str
    reason: str


def compile_program(computation: JaxComputation) -> Program | Skip:
    """Compile a computation; skip it if no kernel supports it or memory is short."""
    try:
        lowered = jax.jit(computation.function).lower(*computation.arguments)
        compiled = lowered.compile()
    except NotImplementedError as error:
        return Skip(provider=computation.provider, reason=first_line(error))
    # Compilers reject kernels by any kind of error; the others are still timed.
    except Exception as error:
        reason = f"does not compile: {type(error).__name__}: {first_line(error)}"
        return Skip(provider=computation.provider, reason=reason)
    memory = compiled.memory_analysis()
    needed = memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else 0
    available = available_bytes()
    if available is not None and needed > available:
        return Skip(provider=computation.provider, reason=too_large(needed, available))
    return Program(
        computation=computation,
        start=lambda: compiled(*computation.arguments),
        finish=jax.block_until_ready,
        arrays=lambda out: tuple(jax.tree.leaves(out)),
        temporaries=memory and memory.temp_size_in_bytes,
        arguments_and_outputs=memory
        and memory.argument_size_in_bytes + memory.output_size_in_bytes,
        device_timer=lambda: device_timer(compiled, computation.arguments),
    )


def too_large(needed: float, available: float) -> str:
    """Return the reason to skip a computation that does not fit into memory."""
    return (
        f"needs {needed / 1e9:.1f} GB of temporaries and outputs, "
        f"{available / 1e9:.1f} GB are free"
    )


def first_line(error: Exception) -> str:
    """Return the first line of a compiler's message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 200 else f"{lines[0][:200]} ..."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """The programs that run, those that do not, and those that disagree."""

    programs: list[Program] = dataclasses.field(default_factory=list)
    skips: list[Skip] = dataclasses.field(default_factory=list)
    disagreements: list[Skip] = dataclasses.field(default_factory=list)


def check(
    programs: Sequence[Program], operands: Operands, *, scale: Fraction, mode: Mode
) -> Checked:
    """Run each program once, and compare its results with those of the others.

    Results of the same name must agree, and `nearest` with a reassembly by kernels that
    are one in the centre and zero elsewhere. The reference is plain JAX; without it,
    the first program.
    """
    checked = Checked()
    expected: dict[str, tuple[Array, str]] = {}
    if any(p.computation.provider == "nearest" for p in programs):
        centred = compile_program(nearest_by_kernels(operands, scale, mode))
        if isinstance(centred, Program):
            _compare_all(centred.results(), expected, "carafe:xla")
    for program in sorted(programs, key=_is_not_the_reference):
        own = program.computation.provider
        try:
            results = program.results()
        except jax.errors.JaxRuntimeError as error:
            reason = f"does not run: {first_line(error)}"
            checked.skips.append(Skip(provider=own, reason=reason))
            continue
        checked.programs.append(program)
        if (reason := _compare_all(results, expected, own)) is not None:
            checked.disagreements.append(Skip(provider=own, reason=reason))
    checked.programs.sort(key=programs.index)
    return checked


def _compare_all(
    results: dict[str, Array], expected: dict[str, tuple[Array, str]], provider: str
) -> str | None:
    """Return what differs; results under new names become the expected ones."""
    for name, result in results.items():
        want, other = expected.setdefault(name, (result, provider))
        if (difference := _difference(result, want)) is not None:
            return f"its {name} must agree with that of `{other}`, got {difference}"
    return None


def _is_not_the_reference(program: Program) -> bool:
    return not program.computation.provider.endswith(":xla")


def _difference(found: Array, expected: Array) -> str | None:
    # The 16-bit formulations round gradients at different places.
    tolerance = 1e-4 if found.dtype.itemsize >= 4 else 5e-2
    difference, largest = _compare(found, expected)
    if difference <= tolerance * largest:
        return None
    return f"a difference of {float(difference):.2e} in an array of shape {found.shape}"


@jax.jit
def _compare(found: Array, expected: Array) -> tuple[Array, Array]:
    wide, other = found.astype(jnp.float32), expected.astype(jnp.float32)
    return jnp.max(jnp.abs(wide - other)), jnp.max(jnp.abs(other))
