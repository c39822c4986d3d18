"""Timing: all providers in turn, so that a drift of the machine hits them alike."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np

from experiments.benchmarks.reassembly.config import Config, Mode
from experiments.benchmarks.reassembly.programs import (
    Program,
    Skip,
    check_agreement,
    compile_program,
)
from experiments.benchmarks.reassembly.providers import (
    Computation,
    computations,
    make_operands,
)
from experiments.benchmarks.reassembly.shapes import Shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """The timings of one provider at one shape in one mode."""

    shape: Shape
    mode: Mode
    provider: str
    seconds: tuple[float, ...]
    bytes_moved: int
    temporaries: int | None
    arguments_and_outputs: int | None


def measure(
    shape: Shape, mode: Mode, config: Config, *, on_round: Callable[[], None]
) -> tuple[list[Measurement], list[Skip]]:
    """Compile, check and time every provider; `on_round` hears of each repetition."""
    operands = make_operands(
        shape,
        kernel_size=config.kernel_size,
        groups=config.groups,
        dtype=config.dtype,
    )
    tried = [
        compile_program(computation)
        for name in config.providers
        for computation in computations(name, operands, scale=shape.scale, mode=mode)
    ]
    programs = [program for program in tried if isinstance(program, Program)]
    check_agreement(programs, operands)
    seconds = _time_in_turn(programs, config.repetitions, on_round)
    measurements = [
        _record(shape, mode, program, times)
        for program, times in zip(programs, seconds, strict=True)
    ]
    return measurements, [skip for skip in tried if isinstance(skip, Skip)]


def _time_in_turn(
    programs: Sequence[Program], repetitions: int, on_round: Callable[[], None]
) -> list[tuple[float, ...]]:
    for program in programs:
        program()
    seconds: list[list[float]] = [[] for _ in programs]
    order = np.random.default_rng(0)
    for _ in range(repetitions):
        # In a fixed order each program would always follow the same one.
        for index in order.permutation(len(programs)):
            seconds[index].append(_time(programs[index]))
        on_round()
    return [tuple(times) for times in seconds]


def _time(program: Program) -> float:
    # The allocator is left as this program leaves it, not as its neighbour did.
    program()
    start = time.perf_counter()
    # Held until the clock is read: giving memory back to the system takes time.
    outputs = program()
    seconds = time.perf_counter() - start
    del outputs
    return seconds


def _record(
    shape: Shape, mode: Mode, program: Program, seconds: tuple[float, ...]
) -> Measurement:
    computation: Computation = program.computation
    return Measurement(
        shape=shape,
        mode=mode,
        provider=computation.provider,
        seconds=seconds,
        bytes_moved=computation.bytes_moved,
        temporaries=program.temporaries,
        arguments_and_outputs=program.arguments_and_outputs,
    )
