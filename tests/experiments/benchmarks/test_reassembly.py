import csv
import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from experiments.benchmarks.reassembly import programs, providers, targets
from experiments.benchmarks.reassembly.__main__ import main
from experiments.benchmarks.reassembly.config import Config
from experiments.benchmarks.reassembly.run import run
from experiments.benchmarks.reassembly.shapes import SHAPES, Shape, ShapeName
from experiments.benchmarks.reassembly.summary import Summary

TINY = tuple(
    Shape(name=f"tiny_{index}", features=(2, 5, 7, 4), scale=Fraction(scale))
    for index, scale in enumerate(("2", "1/2", "3/2"))
)


def run_tiny(output: Path, shapes=TINY[:1], **fields) -> tuple[list[Summary], str]:
    config = Config(output=output, repetitions=2, kernel_size=3, **fields)
    console = Console(file=io.StringIO(), width=100)
    summaries = run(shapes, config, console)
    return summaries, console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        (TINY[0], "forward_backward"),
        (TINY[1], "forward_backward"),
        (TINY[2], "forward"),
    ],
)
def test_providers_agree_and_are_reported(tmp_path, shape, mode):
    summaries, text = run_tiny(tmp_path, [shape], modes=(mode,))
    assert len(summaries) == 4
    assert all(s.milliseconds > 0 for s in summaries)
    assert f"{shape.name} (2 x 5 x 7 x 4, scale {shape.scale}), forward" in text
    assert (tmp_path / "reassembly.png").stat().st_size > 0


def test_providers_agree_in_bfloat16(tmp_path):
    summaries, _ = run_tiny(tmp_path, dtype="bfloat16")
    assert len(summaries) == 2 * 4


def test_csv_has_a_line_for_each_number(tmp_path):
    run_tiny(tmp_path)
    with (tmp_path / "reassembly.csv").open() as file:
        rows = list(csv.DictReader(file))
    times = [row for row in rows if row["metric"] == "time"]
    assert {(row["provider"], row["mode"]) for row in times} == {
        (provider, mode)
        for provider in ("carafe", "stacked", "nearest", "copy")
        for mode in ("forward", "forward_backward")
    }
    for row in rows:
        assert float(row["value"]) >= 0
        assert row["device"]
        assert row["date"]


def test_bytes_moved_count_each_array_once():
    shape = Shape(name="tiny", features=(1, 4, 4, 8), scale=Fraction(2))
    operands = providers.make_operands(shape, kernel_size=3, groups=2, dtype="float32")
    features, kernels, output = 4 * 4 * 8, 8 * 8 * 2 * 9, 8 * 8 * 8
    forward = 4 * (features + kernels + output)
    assert operands.bytes_moved("forward") == forward
    assert operands.bytes_moved("forward_backward") == 2 * forward


def test_programs_that_do_not_fit_are_skipped_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "_available_bytes", lambda: 0)
    summaries, text = run_tiny(tmp_path, modes=("forward",))
    assert not summaries
    assert "skipped stacked: needs" in text
    assert "Nothing was measured" in text


def test_disagreement_is_an_error(tmp_path, monkeypatch):
    right = providers.reassemble_stacked
    monkeypatch.setattr(
        providers,
        "reassemble_stacked",
        lambda *args, **kwargs: 2 * right(*args, **kwargs),
    )
    with pytest.raises(ValueError, match="`stacked` must agree with `carafe`"):
        run_tiny(tmp_path, modes=("forward",))


def test_missing_matplotlib_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _, text = run_tiny(tmp_path, modes=("forward",))
    assert "carafe-jax[bench]" in text
    assert (tmp_path / "reassembly.csv").exists()


def test_targets_that_were_not_measured_are_marked():
    console = Console(file=io.StringIO(), width=80)
    console.print(targets.make_target_table([]))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert text.count("not measured") == len(targets.TARGETS)


def test_targets_speak_of_the_default_call_only():
    assert targets.apply_to(Config())
    assert not targets.apply_to(Config(kernel_size=3))


@pytest.mark.parametrize(
    ("index", "value", "holds"),
    [(0, 1.5, True), (0, 1.6, False), (1, 6.0, True), (1, 5.9, False), (3, 0.5, False)],
)
def test_targets_are_bounds(index, value, holds):
    assert targets.TARGETS[index].holds(value) == holds


def test_every_shape_has_its_name():
    assert set(SHAPES) == set(get_args(ShapeName))
    assert all(name == shape.name for name, shape in SHAPES.items())


def test_command_line_explains_itself(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reassembly", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "--repetitions" in capsys.readouterr().out
