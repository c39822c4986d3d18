"""Tests of `carafe_jax.tasks.comparison_table`."""

import io
from typing import Any

from rich.console import Console

from carafe_jax.tasks.comparison_rows import Row
from carafe_jax.tasks.comparison_table import draw_comparison
from carafe_jax.tasks.inpainting.quality import COLUMNS

MACHINE: dict[str, Any] = {
    "device": "Chip",
    "cores": "2",
    "jax": "0.10",
    "python": "3.11",
    "date": "2026-11-29T22:41:48+00:00",
    "configuration": "62116ac582",
}


def test_tables_fit_a_terminal_of_80_columns():
    numbers = dict.fromkeys(COLUMNS, 12.345)
    runs = [
        Row(
            method="conv",
            network="U-Net",
            seed=seed,
            steps=300_000,
            seconds=86400.0,
            images_per_second=1234.5,
            numbers={name: value + seed for name, value in numbers.items()}
            | {"parameters": 25_556_864},
            **MACHINE,
        )
        for seed in (0, 1)
    ]
    classic = Row(method="biharmonic", network="", numbers=numbers, **MACHINE)
    console = Console(file=io.StringIO(), width=80, record=True)
    labels = {"conv": "plain layers, as many steps"}
    console.print(draw_comparison([*runs, classic], labels, COLUMNS, title="folder"))
    text = console.export_text()
    for whole in (
        "PSNR (dB)",
        "12.85",
        "± 0.707",
        "300000",
        "86400",
        "images/s",
        "25556864",
    ):
        assert whole in text
