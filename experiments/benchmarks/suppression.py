"""Time both ways of greedy suppression, and count the sweeps.

Cost: half a minute on two CPU cores.
Shows: milliseconds for a batch of problems by rows, by sweeps and of the whole `nms`,
and the largest number of sweeps; as a table and suppression.csv.
Command: python -m experiments.benchmarks.suppression
"""

import csv
import dataclasses
import functools
import pathlib
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from carafe_jax.arguments import check_between_0_and_1, check_count, check_seed
from carafe_jax.cli.console import run
from carafe_jax.machine import describe_machine
from carafe_jax.ops import Boxes, nms, pairwise_iou
from carafe_jax.ops.suppression import suppress_by_rows, suppress_by_sweeps
from experiments.benchmarks.clock import host_timer

# Pixels; the sides of the image and of an object, and the stride of anchors.
_HEIGHT, _WIDTH, _SIDE, _STRIDE = 800, 1344, 64, 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suppression:
    """Options of the timing."""

    boxes: tuple[int, ...] = (1000, 2000)
    """Boxes of a problem; a region proposal network has 1000 or 2000 by level."""
    problems: int = 10
    """Problems of a batch: images times levels."""
    iou_threshold: float = 0.7
    """Overlap above which a box is suppressed."""
    repetitions: int = 7
    """Timings, of which the median counts."""
    seed: int = 0
    """Of the scenes."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/suppression.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        for count in self.boxes:
            check_count("boxes", count)
        check_count("problems", self.problems)
        check_count("repetitions", self.repetitions)
        check_between_0_and_1("iou_threshold", self.iou_threshold)
        check_seed("seed", self.seed)


def main(config: Suppression, console: Console) -> int:
    """Time each scene, and print the table."""
    machine = dataclasses.asdict(describe_machine())
    rows = [
        {"scene": name, "boxes": count, **_measure(scene, count, config), **machine}
        for name, scene in SCENES.items()
        for count in config.boxes
    ]
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = Table(title=f"{config.problems} problems, ms; {machine['device']}")
    for column in ("scene", "boxes", "kept", "sweeps", "rows", "sweeps", "nms"):
        table.add_column(column, justify="left" if column == "scene" else "right")
    for row in rows:
        times = (f"{row[name]:.1f}" for name in ("rows_ms", "sweeps_ms", "nms_ms"))
        counts = (str(row[name]) for name in ("boxes", "mean_kept", "most_sweeps"))
        table.add_row(row["scene"], *counts, *times)
    console.print(table)
    console.print(f"Table: {config.output}", markup=False)
    return 0


def clusters(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return boxes around 30 objects of a crowd, best first."""
    objects = rng.uniform(0, (_WIDTH, _HEIGHT), (30, 2))
    centres = rng.choice(objects, count) + rng.normal(0, _SIDE / 8, (count, 2))
    return _around(centres, _SIDE * np.exp(rng.normal(0, 0.15, (count, 2))))


def anchors(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return moved anchors of a block of a level, three ratios a cell, best first."""
    number = rng.permutation(count)
    columns = int(np.ceil(np.sqrt(count / 3)))
    cells = np.stack([number // 3 % columns, number // 3 // columns], axis=1)
    roots = np.sqrt(np.array([0.5, 1.0, 2.0]))[number % 3]
    sides = 8 * _STRIDE * np.stack([1 / roots, roots], axis=1)
    centres = _STRIDE * cells + rng.normal(0, _STRIDE / 4, (count, 2))
    return _around(centres, sides * np.exp(rng.normal(0, 0.05, (count, 2))))


def _around(centres: np.ndarray, sides: np.ndarray) -> np.ndarray:
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


SCENES = {"clusters": clusters, "anchors": anchors}


def _measure(
    scene: Callable[[np.random.Generator, int], np.ndarray],
    count: int,
    config: Suppression,
) -> dict[str, float]:
    rng = np.random.default_rng(config.seed)
    drawn = np.stack([scene(rng, count) for _ in range(config.problems)])
    boxes = jnp.asarray(drawn, np.float32)
    overlaps = jax.jit(pairwise_iou)(boxes, boxes)
    suppresses = jnp.triu(overlaps > config.iou_threshold, 1)
    everything = jnp.ones(boxes.shape[:2], bool)
    scores = jnp.broadcast_to(jnp.arange(count, 0.0, -1), everything.shape)
    whole = functools.partial(
        nms, iou_threshold=config.iou_threshold, max_outputs=count
    )
    programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "rows_ms": (suppress_by_rows, (suppresses, everything)),
        "sweeps_ms": (suppress_by_sweeps, (suppresses, everything)),
        "nms_ms": (whole, (Boxes(boxes, everything), scores)),
    }
    kept = jax.vmap(suppress_by_rows)(suppresses, everything)
    return {
        "mean_kept": round(float(kept.sum() / config.problems)),
        "most_sweeps": max(map(_sweeps, np.asarray(suppresses))),
        **{
            name: _milliseconds(program, arguments, config.repetitions)
            for name, (program, arguments) in programs.items()
        },
    }


def _sweeps(suppresses: np.ndarray) -> int:
    """Return the number of sweeps of a problem, with the one that changes nothing."""
    kept, before = np.ones(len(suppresses), bool), None
    sweeps = 0
    while before is None or (kept != before).any():
        before, kept = kept, ~suppresses[kept].any(0)
        sweeps += 1
    return sweeps


def _milliseconds(
    program: Callable[..., Any], arguments: tuple[Any, ...], repetitions: int
) -> float:
    compiled = jax.jit(jax.vmap(program))
    jax.block_until_ready(compiled(*arguments))
    seconds = host_timer(compiled, arguments)
    return 1e3 * statistics.median(seconds(1) for _ in range(repetitions))


if __name__ == "__main__":
    run(main, Suppression, doc=__doc__)
