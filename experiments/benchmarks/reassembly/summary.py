"""Summaries of timings, for the table and the CSV."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.benchmarks.clock import Clock
from experiments.benchmarks.reassembly.config import Mode
from experiments.benchmarks.reassembly.measurement import Measurement
from experiments.benchmarks.reassembly.shapes import Shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """One row of the table.

    `quartiles` are in milliseconds, the median in the middle; bandwidths are in GB/s;
    `temporaries` in bytes, and as a multiple of the bytes of arguments and outputs.
    `bytes_moved` is the minimum memory traffic, each array once; `floor_reached` is the
    bandwidth as a fraction of that of a large copy. A ratio is None if its other term
    was not measured.
    """

    shape: Shape
    mode: Mode
    provider: str
    repetitions: int
    clock: Clock
    quartiles: tuple[float, float, float]
    bytes_moved: int
    operations: int | None
    bandwidth: float
    copy_bandwidth: float
    floor_reached: float
    ratio_to_copy: float | None
    ratio_to_nearest: float | None
    speedup_over_im2col: float | None
    speedup_over_xla: float | None
    temporaries: int | None
    relative_temporaries: float | None

    @property
    def milliseconds(self) -> float:
        """Median time."""
        return self.quartiles[1]


def summarise(
    measurements: Sequence[Measurement], copy_bandwidth: float
) -> list[Summary]:
    """Summarise one shape and mode; the bandwidth is in bytes per second."""
    medians = {m.provider: float(np.median(m.seconds)) for m in measurements}
    return [_summarise(m, medians, copy_bandwidth) for m in measurements]


def _summarise(
    m: Measurement, medians: dict[str, float], copy_bandwidth: float
) -> Summary:
    lower, median, upper = (
        1e3 * float(q) for q in np.percentile(m.seconds, (25, 50, 75))
    )
    own = medians[m.provider]
    return Summary(
        shape=m.shape,
        mode=m.mode,
        provider=m.provider,
        repetitions=len(m.seconds),
        clock=m.clock,
        quartiles=(lower, median, upper),
        bytes_moved=m.bytes_moved,
        operations=m.operations,
        bandwidth=m.bytes_moved / own / 1e9,
        copy_bandwidth=copy_bandwidth / 1e9,
        floor_reached=m.bytes_moved / copy_bandwidth / own,
        ratio_to_copy=_ratio(own, medians.get("copy")),
        ratio_to_nearest=_ratio(own, medians.get("nearest")),
        speedup_over_im2col=_ratio(medians.get("im2col"), own),
        speedup_over_xla=_ratio(medians.get("carafe:xla"), own),
        temporaries=m.temporaries,
        relative_temporaries=_ratio(m.temporaries, m.arguments_and_outputs),
    )


def _ratio(
    numerator: int | float | None, denominator: int | float | None
) -> float | None:
    if numerator is None or not denominator:
        return None
    return numerator / denominator
