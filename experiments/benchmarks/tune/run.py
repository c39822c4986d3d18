"""The search: every launch in turn; the file is rewritten after each."""

import collections
import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from carafe_pallas import support, tuning

from experiments.benchmarks.tune.candidates import neighbours
from experiments.benchmarks.tune.config import Config
from experiments.benchmarks.tune.jobs import Job
from experiments.benchmarks.tune.records import record
from experiments.benchmarks.tune.timing import check, compile_config, seconds_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of the search for one launch.

    `seconds` holds the time of each configuration that runs, the heuristic one first if
    it does; `dropped` counts the others by reason. `refusal` is the reason if the
    backend does not support the launch; `file` is the file with the best configuration.
    """

    job: Job
    seconds: dict[Any, float] = dataclasses.field(default_factory=dict)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    refusal: str | None = None
    file: Path | None = None

    @property
    def best(self) -> Any:
        """The fastest configuration, None if none runs."""
        return min(self.seconds, key=self.seconds.__getitem__, default=None)

    def __str__(self) -> str:
        if self.refusal is not None:
            return f"{self.job}: refused: {self.refusal}"
        dropped = "".join(f"\n  dropped {n}: {why}" for why, n in self.dropped.items())
        if self.best is None:
            return f"{self.job}: no configuration runs{dropped}"
        heuristic = self.job.module.heuristic(self.job.call, self.job.launch)
        before = self.seconds.get(heuristic)
        words = "does not run" if before is None else f"{1e3 * before:.3f} ms"
        return (
            f"{self.job}: {1e3 * self.seconds[self.best]:.3f} ms by {self.best}; "
            f"heuristic: {words}; {len(self.seconds)} configurations ran{dropped}"
        )


def tune(
    jobs: list[Job],
    config: Config,
    *,
    on_job: Callable[[Job], None],
    on_result: Callable[[Result], None],
) -> list[Result]:
    """Search for the best configuration of each launch and store it."""
    device_kind = jax.devices()[0].device_kind
    folder = config.folder or Path(str(tuning.folder()))
    results = []
    for job in jobs:
        on_job(job)
        reason = support.refusal(job.backend, job.call, device_kind=device_kind)
        result = (
            search(job, config) if reason is None else Result(job=job, refusal=reason)
        )
        if result.best is not None:
            path = record(folder, device_kind, job.key, result.best)
            result = dataclasses.replace(result, file=path)
        on_result(result)
        results.append(result)
    return results


def search(job: Job, config: Config) -> Result:
    """Climb from the heuristic configuration to better neighbours while there are any.

    The time limit is checked after each step.
    """
    deadline = time.monotonic() + config.seconds
    arrays = job.arrays()
    expected = jax.jit(job.expected)(*arrays)
    seconds: dict[Any, float] = {}
    dropped: collections.Counter[str] = collections.Counter()
    tried, best = set(), job.module.heuristic(job.call, job.launch)
    candidates = [best]
    while candidates:
        tried.update(candidates)
        # No configuration is compiled while others are timed.
        for candidate, compiled in _compile(job, candidates, config.workers, arrays):
            if isinstance(compiled, Exception):
                dropped[_reason(compiled)] += 1
                continue
            try:
                check(compiled(*arrays), expected)
                seconds[candidate] = seconds_of(compiled, arrays, config.repetitions)
            except (ValueError, jax.errors.JaxRuntimeError) as error:
                dropped[_reason(error)] += 1
        if time.monotonic() > deadline:
            break
        best = min(seconds, key=seconds.__getitem__, default=best)
        candidates = [one for one in neighbours(best) if one not in tried]
    return Result(job=job, seconds=seconds, dropped=dict(dropped))


def _compile(
    job: Job, candidates: Sequence[Any], workers: int, arrays: Any
) -> list[tuple[Any, jax.stages.Compiled | Exception]]:
    with ThreadPoolExecutor(workers) as pool:
        compiled = pool.map(lambda one: compile_config(job, one, arrays), candidates)
        return list(zip(candidates, compiled, strict=True))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"
