"""What the operator is to reach on a CPU: k = 5, float32, one group, two cores."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
from rich import box
from rich.table import Table

from experiments.benchmarks.reassembly.config import Config, Mode
from experiments.benchmarks.reassembly.shapes import ShapeName
from experiments.benchmarks.reassembly.summary import Summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A bound on one field of the summary of `carafe` at one shape in one mode."""

    mode: Mode
    shape: ShapeName
    field: str
    words: str
    sign: Literal["<=", "<", ">="]
    bound: float

    def holds(self, value: float) -> bool:
        """Tell whether a measured value keeps the bound."""
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


TARGETS = (
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
)


def apply_to(config: Config) -> bool:
    """Tell whether a run is of the kind that the targets speak of."""
    call = (config.dtype, config.kernel_size, config.groups)
    return jax.default_backend() == "cpu" and call == ("float32", 5, 1)


def make_target_table(summaries: Sequence[Summary]) -> Table:
    """Set what was measured against the targets."""
    title = "Targets on a CPU (float32, k = 5, two cores)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("carafe", "target", "measured", ""):
        table.add_column(column)
    measured = {(s.mode, s.shape.name): s for s in summaries if s.provider == "carafe"}
    for target in TARGETS:
        summary = measured.get((target.mode, target.shape))
        value = None if summary is None else getattr(summary, target.field)
        mode = target.mode.replace("_", " + ")
        name = f"{mode}, {target.shape}: {target.words}"
        table.add_row(name, f"{target.sign} {target.bound:g}", *_verdict(target, value))
    return table


def _verdict(target: Target, value: float | None) -> tuple[str, str]:
    if value is None:
        return "-", "not measured"
    verdict = "[green]met[/green]" if target.holds(value) else "[red]missed[/red]"
    return f"{value:.2f}", verdict
