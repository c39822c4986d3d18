import csv
import dataclasses
import importlib.util
import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import get_args

import jax
import pytest
from rich.console import Console

from experiments.benchmarks.reassembly import (
    memory,
    programs,
    providers,
    torch_programs,
)
from experiments.benchmarks.reassembly.__main__ import main
from experiments.benchmarks.reassembly.config import MODE_TITLES, Config, Mode
from experiments.benchmarks.reassembly.measurement import Measurement
from experiments.benchmarks.reassembly.run import run
from experiments.benchmarks.reassembly.shapes import LARGE, SHAPES, Shape, ShapeName
from experiments.benchmarks.reassembly.summary import Summary, summarise
from experiments.benchmarks.reassembly.table import make_table

OWN = ("carafe", "fused_softmax", "unfused_softmax", "im2col", "nearest", "copy")
TINY = tuple(
    Shape(name=f"tiny_{index}", features=(2, 5, 7, 4), scale=Fraction(scale))
    for index, scale in enumerate(("2", "1/2", "3/2"))
)


def run_tiny(output: Path, shapes=TINY[:1], **fields) -> tuple[list[Summary], str]:
    fields = {"providers": OWN, **fields}
    config = Config(
        output=output, repetitions=2, kernel_size=3, copy_megabytes=1, **fields
    )
    console = Console(file=io.StringIO(), width=100)
    summaries = run(shapes, config, console)
    return summaries, printed(console)


def printed(console: Console) -> str:
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def tiny_operands(dtype="float32", groups=2):
    shape = Shape(name="tiny", features=(1, 4, 4, 8), scale=Fraction(2))
    return providers.make_operands(shape, kernel_size=3, groups=groups, dtype=dtype)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        (TINY[0], "forward_backward"),
        (TINY[1], "forward_backward"),
        (TINY[2], "forward"),
        (TINY[0], "grad_features"),
    ],
)
def test_providers_agree_and_are_reported(tmp_path, shape, mode):
    summaries, text = run_tiny(tmp_path, [shape], modes=(mode,))
    assert tuple(s.provider for s in summaries) == OWN
    assert all(s.milliseconds > 0 for s in summaries)
    title = MODE_TITLES[mode]
    assert f"{shape.name} (2 x 5 x 7 x 4, scale {shape.scale}), {title}" in text
    assert (tmp_path / "reassembly.png").stat().st_size > 0


def test_nearest_neighbours_have_no_gradient_of_kernels(tmp_path):
    summaries, _ = run_tiny(tmp_path, modes=("grad_kernels",))
    assert [s.provider for s in summaries] == [p for p in OWN if p != "nearest"]


@pytest.mark.slow
def test_providers_agree_in_bfloat16(tmp_path):
    modes = ("forward", "forward_backward")
    summaries, _ = run_tiny(tmp_path, dtype="bfloat16", modes=modes)
    assert len(summaries) == 2 * len(OWN)


def test_csv_has_a_line_for_each_number(tmp_path):
    run_tiny(tmp_path)
    with (tmp_path / "reassembly.csv").open() as file:
        rows = list(csv.DictReader(file))
    times = [row for row in rows if row["metric"] == "time"]
    assert {(row["provider"], row["mode"]) for row in times} == {
        (provider, mode) for provider in OWN for mode in ("forward", "forward_backward")
    }
    assert {"copy_bandwidth", "floor_reached", "operations"} < {
        row["metric"] for row in rows
    }
    for row in rows:
        assert float(row["value"]) >= 0
        assert row["device"]
        assert row["date"]


def test_bytes_moved_count_each_array_once():
    operands = tiny_operands()
    features, kernels, output = 4 * 4 * 8, 8 * 8 * 2 * 9, 8 * 8 * 8
    forward = 4 * (features + kernels + output)
    expected = {
        "forward": (forward, forward),
        "grad_features": (forward, forward),
        # From logits it reads the logits too.
        "grad_kernels": (forward, forward + 4 * kernels),
        "forward_backward": (2 * forward, 2 * forward),
    }
    for mode in get_args(Mode):
        bytes_moved = operands.bytes_moved(mode), operands.bytes_moved_from_logits(mode)
        assert bytes_moved == expected[mode]


def test_operations_are_two_for_each_tap():
    forward = 2 * 9 * 8 * 8 * 8
    operations = [tiny_operands().operations(mode) for mode in get_args(Mode)]
    assert operations == [forward, forward, forward, 3 * forward]


def test_floor_is_the_time_of_a_copy_of_the_fewest_bytes():
    measurement = Measurement(
        shape=TINY[0],
        mode="forward",
        provider="carafe",
        seconds=(2.0, 4.0, 9.0),
        clock="host",
        bytes_moved=100,
        operations=None,
        temporaries=None,
        arguments_and_outputs=None,
    )
    plain = dataclasses.replace(measurement, provider="carafe:xla", seconds=(12.0,))
    summary, _ = summarise([measurement, plain], copy_bandwidth=50.0)
    assert summary.floor_reached == 0.5
    assert summary.speedup_over_xla == 3.0


def test_tables_fit_on_the_console():
    longest = Summary(
        shape=SHAPES["fpn_p3_up_16"],
        mode="forward_backward",
        provider="carafe:mosaic_gpu",
        repetitions=15,
        clock="device",
        quartiles=(123.4, 123.4, 123.4),
        bytes_moved=1343000000,
        operations=1870000000000,
        bandwidth=1234.5,
        copy_bandwidth=2345.6,
        floor_reached=1.0,
        ratio_to_copy=0.123,
        ratio_to_nearest=None,
        speedup_over_im2col=12.34,
        speedup_over_xla=3.0,
        temporaries=123456789012,
        relative_temporaries=0.00123,
    )
    console = Console(file=io.StringIO(), width=200)
    console.print(make_table([longest]))
    assert max(len(line.rstrip()) for line in printed(console).splitlines()) <= 100


def test_programs_that_do_not_fit_are_skipped_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "available_bytes", lambda: 0)
    summaries, text = run_tiny(tmp_path, modes=("forward",))
    assert not summaries
    assert "skipped im2col: needs" in text
    assert "Nothing was measured" in text


def test_large_copy_is_bounded_by_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 10**6)
    assert memory.copy_bandwidth(None) > 0


@pytest.mark.parametrize(
    ("provider", "function", "message"),
    [
        (
            "im2col",
            "reassemble_im2col",
            "its output must agree with that of `carafe`",
        ),
        ("nearest", "_resample_nearest", "its nearest output must agree"),
        (
            "unfused_softmax",
            "_unfused_softmax",
            "its output must agree with that of `carafe`",
        ),
    ],
)
def test_disagreement_is_an_error(tmp_path, monkeypatch, provider, function, message):
    right = getattr(providers, function)
    monkeypatch.setattr(
        providers, function, lambda *args, **kwargs: 2 * right(*args, **kwargs)
    )
    with pytest.raises(ValueError, match=f"`{provider}`: {message}"):
        run_tiny(tmp_path, modes=("forward",))
    assert (tmp_path / "reassembly.csv").exists()


def test_implementations_of_the_platform_are_measured_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(providers, "backends", lambda: ("triton",))
    selected = ("carafe", "fused_softmax")
    summaries, text = run_tiny(tmp_path, providers=selected, modes=("forward",))
    measured = ["carafe", "carafe:xla", "fused_softmax", "fused_softmax:xla"]
    assert [s.provider for s in summaries] == measured
    assert "skipped carafe:triton: `implementation='triton'` cannot run" in text
    assert "skipped fused_softmax:triton: `implementation='triton'` cannot run" in text


@pytest.mark.parametrize("step", ["compile", "run"])
def test_failing_program_is_reported_and_others_are_timed(tmp_path, monkeypatch, step):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken\ndetails")

    def im2col(features, *_, **__):
        if step == "compile":
            fail()
        return jax.pure_callback(fail, features, features)

    monkeypatch.setattr(providers, "reassemble_im2col", im2col)
    summaries, text = run_tiny(tmp_path, modes=("forward",))
    assert [s.provider for s in summaries] == [p for p in OWN if p != "im2col"]
    assert f"skipped im2col: does not {step}: " in text


def test_missing_pytorch_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    selected = ("carafe", "torch_unfold", "torch_bilinear")
    summaries, text = run_tiny(tmp_path, providers=selected, modes=("forward",))
    assert [s.provider for s in summaries] == ["carafe"]
    assert "skipped torch_unfold: PyTorch is missing" in text
    assert "skipped torch_bilinear: PyTorch is missing" in text


needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is missing"
)


@needs_torch
@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("shape", TINY[:2], ids=lambda shape: str(shape.scale))
def test_pytorch_agrees(tmp_path, shape, mode):
    selected = ("carafe", "torch_unfold", "torch_bilinear")
    summaries, _ = run_tiny(
        tmp_path, [shape], providers=selected, modes=(mode,), groups=2, dtype="bfloat16"
    )
    measured = [p for p in selected if p != "torch_bilinear" or mode != "grad_kernels"]
    assert [s.provider for s in summaries] == measured


@needs_torch
def test_pytorch_refuses_other_scales(tmp_path):
    summaries, text = run_tiny(
        tmp_path, TINY[2:], providers=("torch_unfold",), modes=("forward",)
    )
    assert not summaries
    assert "`scale` must be an integer or the reciprocal of one, got 3/2" in text


@needs_torch
def test_pytorch_that_disagrees_is_an_error(tmp_path, monkeypatch):
    right = torch_programs.reassemble_unfolded
    monkeypatch.setattr(
        torch_programs,
        "reassemble_unfolded",
        lambda *args, **kwargs: 2 * right(*args, **kwargs),
    )
    with pytest.raises(ValueError, match="`torch_unfold`: its output must agree"):
        run_tiny(tmp_path, providers=("carafe", "torch_unfold"), modes=("forward",))


def test_missing_matplotlib_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _, text = run_tiny(tmp_path, modes=("forward",))
    assert "carafe-jax[train]" in text
    assert (tmp_path / "reassembly.csv").exists()


def test_large_shapes_are_for_accelerators(monkeypatch):
    assert not set(LARGE) & set(Config().shapes)
    assert Config().modes == ("forward", "forward_backward")
    monkeypatch.setattr(
        "experiments.benchmarks.reassembly.config.on_accelerator", lambda: True
    )
    assert set(LARGE) < set(Config().shapes)
    assert Config().modes == get_args(Mode)


def test_every_shape_has_its_name():
    assert set(SHAPES) == set(get_args(ShapeName))
    assert all(name == shape.name for name, shape in SHAPES.items())


def test_help_lists_the_options(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reassembly", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "--repetitions" in capsys.readouterr().out
