"""Thresholds for the operator: k = 5, one group; float32 on a CPU of two cores.

On a GPU: bfloat16, measured against the bandwidth of a large copy.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax

from experiments.benchmarks.reassembly.config import Config, Mode
from experiments.benchmarks.reassembly.shapes import LARGE, ShapeName
from experiments.benchmarks.reassembly.summary import Summary

Verdict = Literal["met", "missed", "not measured"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A bound on one field of the summary of `carafe` at one shape in one mode."""

    mode: Mode
    shape: ShapeName
    field: str
    words: str
    sign: Literal["<=", "<", ">="]
    bound: float

    @property
    def name(self) -> str:
        """Name of the bounded quantity."""
        return f"{self.mode.replace('_', ' + ')}, {self.shape}: {self.words}"

    def holds(self, value: float) -> bool:
        """Return whether a measured value keeps the bound."""
        match self.sign:
            case "<=":
                return value <= self.bound
            case "<":
                return value < self.bound
            case ">=":
                return value >= self.bound


def _speedup(shape: ShapeName) -> Target:
    return Target(
        mode="forward_backward",
        shape=shape,
        field="speedup_over_stacked",
        words="speed-up",
        sign=">=",
        bound=6.0,
    )


def _temporaries(mode: Mode, shape: ShapeName, bound: float) -> Target:
    return Target(
        mode=mode,
        shape=shape,
        field="relative_temporaries",
        words="temp/io",
        sign="<",
        bound=bound,
    )


def _floor(mode: Mode, shape: ShapeName, bound: float) -> Target:
    return Target(
        mode=mode,
        shape=shape,
        field="floor_reached",
        words="part of the copy's bandwidth",
        sign=">=",
        bound=bound,
    )


def _speedup_over_xla(shape: ShapeName) -> Target:
    return Target(
        mode="forward_backward",
        shape=shape,
        field="speedup_over_xla",
        words="speed-up over carafe:xla",
        sign=">=",
        bound=3.0,
    )


TARGETS: dict[str, tuple[Target, ...]] = {
    "cpu": (
        Target(
            mode="forward",
            shape="fpn_p3_up",
            field="ratio_to_nearest",
            words="time / nearest",
            sign="<=",
            bound=1.5,
        ),
        _speedup("fpn_p3_up"),
        _speedup("fpn_p3_half"),
        _temporaries("forward", "fpn_p3_up", 0.5),
        _temporaries("forward", "fpn_p3_half", 0.5),
        _temporaries("forward_backward", "fpn_p3_up", 2.5),
        _temporaries("forward_backward", "fpn_p3_half", 2.5),
    ),
    "gpu": tuple(
        target
        for shape in LARGE
        for target in (
            _floor("forward", shape, 0.7),
            _floor("grad_features", shape, 0.5),
            _floor("grad_kernels", shape, 0.5),
            _speedup_over_xla(shape),
        )
    ),
}
_DTYPES = {"cpu": "float32", "gpu": "bfloat16"}


def platform_of(config: Config) -> str | None:
    """Return the platform whose targets speak of such a run, None if none do."""
    platform = jax.default_backend()
    call = (config.dtype, config.kernel_size, config.groups)
    return platform if call == (_DTYPES.get(platform), 5, 1) else None


def title(platform: str) -> str:
    """Return the title of the thresholds of a platform."""
    device = {"cpu": "a CPU", "gpu": "a GPU"}[platform]
    cores = ", two cores" if platform == "cpu" else ""
    return f"Targets on {device} ({_DTYPES[platform]}, k = 5{cores})"


def judge(target: Target, summaries: Sequence[Summary]) -> tuple[float | None, Verdict]:
    """Return what was measured, and whether that reaches the target."""
    for summary in summaries:
        own = summary.provider, summary.mode, summary.shape.name
        if own == ("carafe", target.mode, target.shape):
            value = getattr(summary, target.field)
            if value is not None:
                return value, "met" if target.holds(value) else "missed"
    return None, "not measured"
