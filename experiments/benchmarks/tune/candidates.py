"""Which configurations are tried."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from experiments.benchmarks.tune.jobs import Job


def candidates(job: Job) -> Iterator[Any]:
    """Give the heuristic configuration, then the backend's others, each once.

    A backend that names none gets its heuristic one with every number halved, kept or
    doubled, those with the fewest changes first.
    """
    heuristic = job.module.heuristic(job.call, job.launch)
    if hasattr(job.module, "candidates"):
        others = job.module.candidates(job.call, job.launch)
    else:
        others = _neighbours(heuristic)
    yield from dict.fromkeys((heuristic, *others))


def _neighbours(config: Any) -> list[Any]:
    numbers = {
        field.name: value
        for field in dataclasses.fields(config)
        if type(value := getattr(config, field.name)) is int
    }
    choices = [dict.fromkeys((v, 2 * v, max(1, v // 2))) for v in numbers.values()]
    found = [
        dict(zip(numbers, values, strict=True))
        for values in itertools.product(*choices)
    ]
    found.sort(key=lambda values: sum(values[n] != numbers[n] for n in numbers))
    return [dataclasses.replace(config, **values) for values in found]
