import sys
import time

import pytest

from experiments.benchmarks.on_accelerator import __main__ as command
from experiments.benchmarks.on_accelerator import benchmark as benchmark_module
from experiments.benchmarks.on_accelerator.benchmark import benchmark
from experiments.benchmarks.on_accelerator.steps import Step, all_steps, run_steps
from experiments.benchmarks.on_accelerator.tune import tune
from experiments.benchmarks.reassembly import memory
from experiments.benchmarks.reassembly.shapes import SHAPES, Shape


def python(name, code, seconds=60.0):
    return Step(name=name, command=(sys.executable, "-c", code), seconds=seconds)


@pytest.mark.slow
def test_other_steps_run_after_one_fails_or_hangs(tmp_path):
    said = []
    start = time.monotonic()
    steps = [
        python("bad", "raise SystemExit('broken')"),
        python("slow", "import time; time.sleep(600)", seconds=-55.0),
        python("good", "print('done')"),
    ]
    ends = run_steps(steps, tmp_path, said.append)
    assert ends["bad"] == "failed with status 1"
    assert ends["slow"].startswith("stopped after")
    assert ends["good"] == "passed"
    assert time.monotonic() - start < 60
    assert (tmp_path / "bad.log").read_text() == "broken\n"
    assert any("done" in text for text in said)


def test_steps_share_the_time(tmp_path):
    steps = all_steps(tmp_path, 600)
    names = ["tests", "tune", "bfloat16", "float32", "torch"]
    assert [step.name for step in steps] == names
    assert sum(step.seconds for step in steps) == pytest.approx(600)


@pytest.mark.slow
def test_report_lists_the_outcome_of_each_step(tmp_path, monkeypatch):
    steps = [python("good", ""), python("bad", "raise SystemExit(3)")]
    monkeypatch.setattr(command, "all_steps", lambda output, seconds: steps)
    monkeypatch.setattr(sys, "argv", ["on_accelerator", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="1"):
        command.main()
    report = (tmp_path / "report.txt").read_text()
    assert report == "good: passed\nbad: failed with status 3\n"


@pytest.mark.slow
def test_benchmark_is_reported_in_plain_lines(tmp_path, monkeypatch):
    tiny = Shape(name="fpn_p3_up_16", features=(1, 3, 4, 4), scale=SHAPES["unet"].scale)
    monkeypatch.setitem(SHAPES, "fpn_p3_up_16", tiny)
    monkeypatch.setattr(benchmark_module, "LARGE", ("fpn_p3_up_16",))
    monkeypatch.setattr(memory, "available_bytes", lambda: 4 * 10**6)
    monkeypatch.setitem(sys.modules, "torch", None)
    said = []
    for part in ("bfloat16", "torch"):
        benchmark(part, tmp_path, said.append)
        assert any(line.startswith("fpn_p3_up_16 forward carafe: ") for line in said)
        assert (tmp_path / f"reassembly_{part}.csv").exists()
    assert any("torch_unfold: skipped: PyTorch is missing" in line for line in said)


def test_tuning_is_refused_on_a_cpu(tmp_path):
    with pytest.raises(ValueError, match="it needs a GPU or a TPU"):
        tune(tmp_path, 1.0, print)
