"""Timing: all providers in turn, so that a drift of the machine affects them alike."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from experiments.benchmarks.clock import Clock, Timer, calls_for
from experiments.benchmarks.reassembly.config import Config, Mode
from experiments.benchmarks.reassembly.platforms import on_accelerator
from experiments.benchmarks.reassembly.programs import (
    Program,
    Skip,
    check,
    compile_program,
)
from experiments.benchmarks.reassembly.providers import (
    JaxComputation,
    computations,
    make_operands,
)
from experiments.benchmarks.reassembly.shapes import Shape
from experiments.benchmarks.reassembly.torch_programs import torch_programs

_LEAST_SECONDS = 0.01  # Least duration of a timing on an accelerator.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """The timings of one provider at one shape in one mode."""

    shape: Shape
    mode: Mode
    provider: str
    seconds: tuple[float, ...]
    clock: Clock
    bytes_moved: int
    operations: int | None
    temporaries: int | None
    arguments_and_outputs: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """The results of one shape and mode; programs that disagree are timed as well."""

    measurements: list[Measurement]
    skips: list[Skip]
    disagreements: list[Skip]


def measure(
    shape: Shape, mode: Mode, config: Config, *, on_round: Callable[[], None]
) -> Findings:
    """Compile, check and time every provider; call `on_round` after each round."""
    operands = make_operands(
        shape,
        kernel_size=config.kernel_size,
        groups=config.groups,
        dtype=config.dtype,
    )
    found = [
        computation
        for name in config.providers
        for computation in computations(name, operands, scale=shape.scale, mode=mode)
    ]
    tried = _compile_all(found)
    for name in config.providers:
        if name in ("torch_unfold", "torch_bilinear"):
            tried += torch_programs(name, operands, scale=shape.scale, mode=mode)
    programs = [program for program in tried if isinstance(program, Program)]
    checked = check(programs, operands, scale=shape.scale, mode=mode)
    timed = _time_in_turn(checked.programs, config.repetitions, on_round)
    measurements = [
        _record(shape, mode, program, clock, seconds)
        for program, (clock, seconds) in zip(checked.programs, timed, strict=True)
    ]
    return Findings(
        measurements=measurements,
        skips=[skip for skip in tried if isinstance(skip, Skip)] + checked.skips,
        disagreements=checked.disagreements,
    )


def _compile_all(found: Sequence[JaxComputation]) -> list[Program | Skip]:
    # On a CPU, the compilation of one program uses all cores.
    with ThreadPoolExecutor(8 if on_accelerator() else 1) as pool:
        return list(pool.map(compile_program, found))


def _time_in_turn(
    programs: Sequence[Program], repetitions: int, on_round: Callable[[], None]
) -> list[tuple[Clock, tuple[float, ...]]]:
    timers = [_timer_of(program) for program in programs]
    calls = [_calls_of(clock, timer) for clock, timer in timers]
    seconds: list[list[float]] = [[] for _ in programs]
    order = np.random.default_rng(0)
    for _ in range(repetitions):
        # In a fixed order, each program would always run after the same one.
        for index in order.permutation(len(programs)):
            _, timer = timers[index]
            seconds[index].append(timer(calls[index]))
        on_round()
    return [
        (clock, tuple(times)) for (clock, _), times in zip(timers, seconds, strict=True)
    ]


def _timer_of(program: Program) -> tuple[Clock, Timer]:
    on_device = program.device_timer()
    if on_device is not None:
        return "device", on_device
    return "host", functools.partial(_time, program)


def _calls_of(clock: Clock, timer: Timer) -> int:
    """Return the number of calls of a timing, which keep an accelerator busy."""
    if not on_accelerator():
        return 1
    return calls_for(timer(1), least=_LEAST_SECONDS, clock=clock)


def _time(program: Program, calls: int) -> float:
    # Warm-up: the allocator is in the state of this program, not of the one before.
    program.finish(program.start())
    start = time.perf_counter()
    for _ in range(calls - 1):
        program.start()
    # Kept until the clock is read: returning memory to the system takes time.
    outputs = program.finish(program.start())
    seconds = time.perf_counter() - start
    del outputs
    return seconds / calls


def _record(
    shape: Shape,
    mode: Mode,
    program: Program,
    clock: Clock,
    seconds: tuple[float, ...],
) -> Measurement:
    computation = program.computation
    return Measurement(
        shape=shape,
        mode=mode,
        provider=computation.provider,
        seconds=seconds,
        clock=clock,
        bytes_moved=computation.bytes_moved,
        operations=computation.operations,
        temporaries=program.temporaries,
        arguments_and_outputs=program.arguments_and_outputs,
    )
