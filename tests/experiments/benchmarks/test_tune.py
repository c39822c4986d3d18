import dataclasses
import functools
import itertools
import json
import sys
import types
from fractions import Fraction
from pathlib import Path

import jax
import pytest
from carafe_pallas import support, tuning
from carafe_pallas.backend import module_of

from carafe_jax import ops
from carafe_jax.ops.reassembly.layouts import to_pixels
from experiments.benchmarks.reassembly.shapes import SHAPES, Shape
from experiments.benchmarks.tune import jobs as jobs_module
from experiments.benchmarks.tune import run
from experiments.benchmarks.tune.__main__ import main
from experiments.benchmarks.tune.candidates import neighbours
from experiments.benchmarks.tune.config import Config
from experiments.benchmarks.tune.jobs import jobs_of
from experiments.benchmarks.tune.records import record

DEVICE = "NVIDIA H100"
TINY = Shape(name="fpn_p3_up", features=(2, 3, 4, 2), scale=Fraction(2))


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    rows: int = 2
    columns: int = 4
    order: str = "rows"


def by_plain_jax(features, kernels, *, geometry, normalizer):
    options = {
        "scale": Fraction(geometry.rows.up, geometry.rows.down),
        "implementation": "xla",
    }
    if normalizer is None:
        return ops.reassemble(features, to_pixels(kernels, geometry), **options)
    return ops.reassemble_logits(
        features,
        kernels,
        kernel_size=geometry.kernel_size,
        groups=geometry.groups,
        normalizer=normalizer,
        **options,
    )


def launch(name, first, second, *rest, geometry, normalizer, dtype, config):
    if config.rows == 4:
        raise NotImplementedError("too many rows")
    function = functools.partial(by_plain_jax, geometry=geometry, normalizer=normalizer)
    factor = 2 if config.columns == 2 else 1  # A fault.
    if name == "reassemble":
        return factor * function(first, second)
    if name == "grad_features":
        features = jax.numpy.zeros(TINY.features, dtype)
        return factor * jax.vjp(function, features, first)[1](second)[0]
    (kernels,) = rest
    if kernels is None:
        kernels = jax.numpy.zeros(TINY.logits(kernel_size=3, groups=1), dtype)
    return factor * jax.vjp(function, first, kernels)[1](second)[1]


@pytest.fixture
def backend(monkeypatch):
    """A stand-in, in plain JAX, some of whose configurations fail."""
    module = types.ModuleType("carafe_pallas.triton")
    fields = {
        "KERNELS_BY_PIXEL": False,
        "TuningConfig": TuningConfig,
        "refusal": lambda call: None,
        "heuristic": lambda call, launch: TuningConfig(),
        **{
            name: functools.partial(launch, name)
            for name in ("reassemble", "grad_features", "grad_kernels")
        },
    }
    vars(module).update(fields)
    monkeypatch.setattr(support, "module_of", lambda name: module)
    monkeypatch.setattr(jobs_module, "module_of", lambda name: module)
    monkeypatch.setattr(jobs_module, "backends", lambda: ("triton",))
    monkeypatch.setitem(SHAPES, "fpn_p3_up", TINY)
    return module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "folder", lambda: tmp_path)
    tuning._load.cache_clear()
    yield tmp_path
    tuning._load.cache_clear()


def tiny_config(**fields):
    fields = {"dtypes": ("float32",), "normalizers": ("softmax",), **fields}
    return Config(shapes=("fpn_p3_up",), kernel_size=3, workers=1, **fields)


def tune(config):
    ignore = lambda _: None  # noqa: E731
    return run.tune(jobs_of(config), config, on_job=ignore, on_result=ignore)


@pytest.fixture
def times(monkeypatch):
    """The heuristic configuration takes 3 s, its first neighbour 1 s, others 2 s."""
    taken = itertools.chain((3.0, 1.0), itertools.repeat(2.0))
    monkeypatch.setattr(run, "seconds_of", lambda *args: next(taken))


@pytest.mark.parametrize("launch", Config().launches)
@pytest.mark.parametrize("normalizer", ["none", "softmax"])
def test_fastest_configuration_is_found_by_the_kernels(
    backend, folder, times, launch, normalizer
):
    (result,) = tune(tiny_config(launches=(launch,), normalizers=(normalizer,)))
    assert result.best == TuningConfig(rows=1)
    assert result.file == folder / "cpu.json"
    found = tuning.config_for(backend, result.job.call, launch, device_kind="cpu")
    assert found == TuningConfig(rows=1)


def test_configurations_that_fail_are_counted(backend, folder, times):
    (result,) = tune(tiny_config(launches=("reassemble",)))
    assert set(result.seconds) >= {TuningConfig(), TuningConfig(rows=1)}
    assert result.dropped["NotImplementedError: too many rows"] == 1
    assert sum("must be plain JAX's" in why for why in result.dropped) == 1
    assert "dropped 1: NotImplementedError: too many rows" in str(result)


def test_a_launch_that_never_runs_leaves_no_entry(backend, folder, monkeypatch):
    too_many = TuningConfig(rows=4)
    monkeypatch.setattr(backend, "heuristic", lambda *_: too_many)
    (result,) = tune(tiny_config(launches=("reassemble",), seconds=0.0))
    assert "no configuration runs" in str(result)
    assert not list(folder.iterdir())


def test_refusal_is_reported(backend, folder, monkeypatch):
    monkeypatch.setattr(backend, "refusal", lambda call: "`C` must be even")
    (result,) = tune(tiny_config(launches=("reassemble",)))
    assert "refused: `C` must be even" in str(result)


def test_search_ends_when_its_time_is_spent(backend, folder):
    (result,) = tune(tiny_config(launches=("reassemble",), seconds=0.0))
    assert list(result.seconds) == [TuningConfig()]


def test_neighbours_differ_in_one_number():
    sizes = {(c.rows, c.columns) for c in neighbours(TuningConfig(rows=1))}
    assert sizes == {(2, 4), (1, 8), (1, 2)}
    assert {c.order for c in neighbours(TuningConfig())} == {"rows"}


def test_search_continues_from_the_best(backend, folder, monkeypatch):
    def compile_config(job, config, arrays):
        return lambda *arrays: config

    def seconds_of(function, arrays, repetitions):
        config = function()
        return 1.0 + config.rows + abs(32 - config.columns)

    monkeypatch.setattr(run, "compile_config", compile_config)
    monkeypatch.setattr(run, "check", lambda *_: None)
    monkeypatch.setattr(run, "seconds_of", seconds_of)
    (result,) = tune(tiny_config(launches=("reassemble",)))
    assert result.best == TuningConfig(rows=1, columns=32)


def test_entries_merge_into_the_file_of_the_device(tmp_path):
    record(tmp_path, DEVICE, "b", TuningConfig(rows=1))
    record(tmp_path, DEVICE, "a", TuningConfig(rows=2))
    path = record(tmp_path, DEVICE, "b", TuningConfig(rows=3))
    assert [file.name for file in tmp_path.iterdir()] == ["nvidia_h100.json"]
    contents = json.loads(path.read_text())
    assert contents["device"] == DEVICE
    assert contents["jax"] == jax.__version__
    assert {key: value["rows"] for key, value in contents["configs"].items()} == {
        "a": 2,
        "b": 3,
    }


def test_stopped_run_keeps_its_results(backend, folder, monkeypatch):
    searched = []

    def stop_at_the_second(job, config):
        if searched:
            raise KeyboardInterrupt
        searched.append(job)
        return run.Result(job=job, seconds={TuningConfig(): 1.0})

    monkeypatch.setattr(run, "search", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        tune(tiny_config())
    configs = json.loads((folder / "cpu.json").read_text())["configs"]
    assert list(configs) == [searched[0].key]


def test_backends_of_other_platforms_are_refused(backend):
    with pytest.raises(ValueError, match="must be of the platform at hand, 'triton'"):
        jobs_of(tiny_config(backends=("mosaic_tpu",)))


def test_cpu_is_refused_with_a_message(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tune"])
    with pytest.raises(SystemExit, match="it needs a GPU or a TPU"):
        main()


def test_shipped_files_fit_the_kernels():
    folder = Path(str(tuning.folder()))
    for file in folder.glob("*.json"):
        contents = json.loads(file.read_text())
        assert tuning.file_name(contents["device"]) == file.name
        for key, fields in contents["configs"].items():
            module_of(key.partition(" ")[0]).TuningConfig(**fields)


def test_help_lists_the_options(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tune", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "--seconds" in capsys.readouterr().out
