import dataclasses
import itertools
import json
import pathlib
import shutil
import threading

import pytest
from rich.console import Console

from carafe_jax.errors import RefusedError
from carafe_jax.files import locked
from carafe_jax.tasks import comparison, comparison_configurations
from carafe_jax.tasks.comparison import (
    ComparisonConfig,
    repeat_over_seeds,
    with_fields,
    with_seed,
)
from carafe_jax.tasks.comparison_file import ComparisonFile
from carafe_jax.tasks.comparison_rows import read_rows, rows_of, write_rows
from carafe_jax.tasks.inpainting import InpaintingRun, InpaintingTask
from carafe_jax.tasks.tables import read_table, write_table
from carafe_jax.train import NotFiniteError
from experiments.classification import compare_downsamplers
from experiments.inpainting import compare_generators, compare_resamplers
from tests.tasks.runs import (
    Stopping,
    adversarial,
    call,
    classification,
    inpainting,
    labelled_folder,
)

FILL = {"hole_psnr": 20.0, "hole_ssim": 0.5}


def resamplers(folder, *, steps=2, conv_time_factor=1.5, **fields):
    return compare_resamplers.Comparison(
        base=inpainting(folder / "runs", steps=steps),
        conv_time_factor=conv_time_factor,
        results=folder / "results.csv",
        **fields,
    )


def end_run(run, *, fill=FILL):
    """Write the files of a finished run; its results depend on its seed."""
    numbers = {"hole_psnr": 21.0 + run.loop.seed, "hole_ssim": 0.5}
    write_table(
        run.workdir / "table.csv",
        {"biharmonic": fill, run.network_name: numbers},
        steps=run.loop.steps,
    )
    machine = {"device": "Chip", "cores": 2, "jax": "0.10", "python": "3.11"}
    session = {"from_step": 0, "to_step": run.loop.steps, "seconds": 30.0}
    session |= {"began": "2026-11-29T12:00:00+00:00", "machine": machine}
    provenance = {"steps": run.loop.steps, "seconds": 60.0, "sessions": [session] * 2}
    (run.workdir / "provenance.json").write_text(json.dumps(provenance))
    rows = [f"{step},train,images_per_second,{50 + step}" for step in range(1, 4)]
    text = "\n".join(["step,split,name,value", *rows, ""])
    (run.workdir / "scalars.csv").write_text(text)


def table_of(text):
    return text[text.index("┏") :]


@pytest.fixture
def made(monkeypatch):
    """Names of the folders of runs that were made, without training."""
    names = []

    def end(run, console):
        names.append(run.workdir.name)
        end_run(run)
        return 0

    monkeypatch.setattr(comparison, "train_and_report", end)
    return names


def test_comparison_averages_over_the_seeds(tmp_path):
    config = resamplers(tmp_path, methods=("conv",), seeds=(0, 1))
    status, text = call(compare_resamplers.main, config)
    assert status == 0
    runs = [tmp_path / "runs" / f"conv-{seed}" for seed in (0, 1)]
    tables = [read_table(run / "table.csv") for run in runs]
    a, b = (table["U-Net"]["hole_psnr"] for table in tables)
    assert a != b
    rows = read_rows(config.results)
    assert [(row.method, row.seed) for row in rows] == [
        ("conv", 0),
        ("mean colour", None),
        ("biharmonic", None),
        ("spline", None),
        ("conv", 1),
    ]
    numbers = [{**rows[i].numbers} for i in (0, 4)]
    (parameters,) = {each.pop("parameters") for each in numbers}
    assert numbers == [table["U-Net"] for table in tables]
    for run, row in zip(runs, (rows[0], rows[4]), strict=True):
        provenance = json.loads((run / "provenance.json").read_text())
        assert row.seconds == provenance["seconds"]
        assert parameters == provenance["parameters"] > 1000
        assert row.device == provenance["sessions"][0]["machine"]["device"]
        assert (row.network, row.steps, row.batch_size) == ("U-Net", 2, 2)
        assert row.images_per_second
    assert "mean ± standard deviation over the seeds" in text
    assert f"{(a + b) / 2:.2f}" in text
    assert f"± {abs(a - b) / 2**0.5:.2f}" in text
    assert f" {parameters:.0f} " in text


def test_comparison_of_one_seed_shows_no_deviation(tmp_path):
    folder = labelled_folder(tmp_path / "images")
    config = compare_downsamplers.Comparison(
        base=classification(folder, tmp_path / "runs", epochs=1),
        methods=("conv", "max"),
        seeds=(0,),
        results=tmp_path / "results.csv",
    )
    status, text = call(compare_downsamplers.main, config)
    assert status == 0
    table = read_table(tmp_path / "runs" / "max-0" / "table.csv")
    assert f"{table['ResNet-18, max']['loss']:.4f}" in text
    assert "±" not in text
    assert [row.steps for row in read_rows(config.results)] == [2, 2]


@pytest.mark.weekly
def test_comparison_has_a_row_for_each_network(tmp_path):
    config = compare_generators.Comparison(
        base=adversarial(tmp_path, steps=2), seeds=(0,), results=tmp_path / "rows.csv"
    )
    status, text = call(compare_generators.main, config)
    assert status == 0
    for name in ("Global&Local, CARAFE++", "Partial Conv, CARAFE++"):
        assert name in text
    assert len(read_rows(config.results)) == 4 + 3


def test_all_methods_have_a_seed_before_the_next(tmp_path, made):
    config = resamplers(tmp_path, seeds=(1, 0))
    status, text = call(compare_resamplers.main, config)
    assert status == 0
    methods = ("carafe", "conv", "conv_time")
    assert made == [f"{name}-{seed}" for seed in (1, 0) for name in methods]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for name, steps in (
        ("CARAFE++", 2),
        ("plain layers, as many steps", 2),
        ("plain layers, as much time", 3),
    ):
        # Hole PSNR and SSIM; then seeds, steps, seconds and images/s.
        assert lines.count(f"│ {name} │ 21.50 │ 0.500 │") == 1
        assert lines.count(f"│ {name} │ 2 │ {steps} │ 60 │ 52 │") == 1
    assert lines.count("│ biharmonic │ 20.00 │ 0.500 │") == 1
    assert "Machines: Chip, cores: 2, JAX 0.10, Python 3.11" in lines
    assert "Dates: 2026-11-29" in lines


def test_second_call_trains_nothing_and_shows_the_same_table(tmp_path, made):
    config = resamplers(tmp_path)
    _, first = call(compare_resamplers.main, config)
    made.clear()
    shutil.rmtree(tmp_path / "runs")
    status, second = call(compare_resamplers.main, config)
    assert status == 0
    assert made == []
    assert second.splitlines()[0].endswith("results.csv has 9 of 9 runs.")
    assert (
        second.splitlines()[1:] == first.splitlines()[-len(second.splitlines()) + 1 :]
    )


def test_runs_are_added_on_another_machine(tmp_path, made):
    here = resamplers(tmp_path, seeds=(0,))
    here = dataclasses.replace(here, base=with_source(here.base, tmp_path / "a" / "x"))
    call(compare_resamplers.main, here)
    there = dataclasses.replace(
        here, base=with_source(here.base, tmp_path / "b" / "x"), seeds=(0, 1)
    )
    shutil.rmtree(tmp_path / "runs")
    made.clear()
    _, text = call(compare_resamplers.main, there)
    assert made == ["carafe-1", "conv-1", "conv_time-1"]
    # The seeds of the other machine are shown even if they are not requested.
    only = dataclasses.replace(there, seeds=(1,), methods=("conv",))
    assert table_of(call(compare_resamplers.main, only)[1]) == table_of(text)


def with_source(run, path):
    return with_fields(run, "data", source=str(path))


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"loop": {"steps": 1}}, "`loop.steps` is 1 but was 2"),
        ({"data": {"source": "other"}}, "`data.source` is 'other' but was 'builtin'"),
        ({"optimizer": {"learning_rate": 0.5}}, "`optimizer.learning_rate` is 0.5"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_rows_of_another_configuration_are_refused(tmp_path, made, changed, difference):
    config = resamplers(tmp_path, seeds=(0,))
    call(compare_resamplers.main, config)
    before = config.results.read_bytes()
    made.clear()
    ((part, fields),) = changed.items()
    other = dataclasses.replace(config, base=with_fields(config.base, part, **fields))
    with pytest.raises(ValueError, match="another `results` to start") as refused:
        call(compare_resamplers.main, other)
    assert f"{config.results}, line 2: the row of 'carafe'" in str(refused.value)
    assert difference in str(refused.value)
    assert made == []
    assert config.results.read_bytes() == before
    # With a separate results file it is trained.
    results = tmp_path / "other.csv"
    call(compare_resamplers.main, dataclasses.replace(other, results=results))
    assert len(read_rows(results)) == 4


def test_a_method_may_change_alone(tmp_path, made):
    config = resamplers(tmp_path, seeds=(0,), methods=("carafe", "conv"))
    call(compare_resamplers.main, config)
    longer = dataclasses.replace(config, conv_time_factor=4.5, methods=None)
    assert call(compare_resamplers.main, longer)[0] == 0
    assert made == ["carafe-0", "conv-0", "conv_time-0"]
    with pytest.raises(ValueError, match=r"`loop\.steps` is 8 but was 9"):
        call(compare_resamplers.main, dataclasses.replace(longer, conv_time_factor=4.0))


def test_field_that_was_not_stored_had_its_default(tmp_path, made, monkeypatch):
    config = resamplers(tmp_path, seeds=(0,))
    flatten = comparison_configurations.flatten

    def before(run):
        return {k: v for k, v in flatten(run).items() if k != "network.starting_fill"}

    with monkeypatch.context() as patch:
        patch.setattr(comparison_configurations, "flatten", before)
        call(compare_resamplers.main, config)
    made.clear()
    assert call(compare_resamplers.main, config)[0] == 0
    assert made == []
    spline = with_fields(config.base, "network", starting_fill="spline")
    with pytest.raises(ValueError, match=r"`network\.starting_fill` is 'spline' but"):
        call(compare_resamplers.main, dataclasses.replace(config, base=spline))


def test_runs_on_other_images_are_not_mixed(tmp_path, monkeypatch):
    fills = iter(
        [FILL, FILL, {**FILL, "hole_psnr": 20.00001}, {**FILL, "hole_psnr": 19.0}]
    )

    def end(run, console):
        end_run(run, fill=next(fills))
        return 0

    monkeypatch.setattr(comparison, "train_and_report", end)
    config = resamplers(tmp_path)
    with pytest.raises(ValueError, match="not made with the same images") as refused:
        call(compare_resamplers.main, config)
    assert f"{config.results}, line 3: the row has 20 as `hole_psnr`" in str(
        refused.value
    )
    pairs = [(row.method, row.seed) for row in read_rows(config.results)]
    assert pairs == [
        ("carafe", 0),
        ("biharmonic", None),
        ("conv", 0),
        ("conv_time", 0),
    ]


@pytest.mark.parametrize("ending", [128 + 15, NotFiniteError("The loss is nan.")])
def test_rows_are_kept_however_a_later_run_ends(tmp_path, monkeypatch, ending):
    config = resamplers(tmp_path, seeds=(0,))
    count = itertools.count()

    def end(run, console):
        if next(count) == 1:
            if isinstance(ending, Exception):
                raise ending
            return ending
        end_run(run)
        return 0

    monkeypatch.setattr(comparison, "train_and_report", end)
    if isinstance(ending, Exception):
        with pytest.raises(NotFiniteError):
            call(compare_resamplers.main, config)
    else:
        assert call(compare_resamplers.main, config)[0] == ending
    assert [row.method for row in read_rows(config.results)] == ["carafe", "biharmonic"]
    assert call(compare_resamplers.main, config)[0] == 0
    assert len(read_rows(config.results)) == 4


def test_rows_of_two_processes_are_kept(tmp_path, made):
    config = resamplers(tmp_path, seeds=(0,), methods=("conv",))
    call(compare_resamplers.main, config)
    run = with_seed(config.base, 1, name="conv")
    run.workdir.mkdir()
    end_run(run)
    file = ComparisonFile(config.results, {"conv": config.base})
    adding = threading.Thread(target=file.add, args=(run,), kwargs={"method": "conv"})
    with locked(config.results):
        adding.start()
        adding.join(0.2)
        assert adding.is_alive()
        rows = read_rows(config.results)
        write_rows(config.results, [*rows, dataclasses.replace(rows[0], seed=2)])
    adding.join()
    assert [row.seed for row in file.read()] == [0, None, 2, 1]


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("table.csv", None, "must exist"),
        ("table.csv", "method,psnr\nbiharmonic,2\n", "must have a row of 'U-Net', got"),
        ("table.csv", "method,psnr,steps\nU-Net,2,nan\n", "must be a table of numbers"),
        ("scalars.csv", None, "must exist"),
        ("scalars.csv", "name,value\nimages_per_second,x\n", "'x'"),
        ("scalars.csv", "name,value\nimages_per_second\n", "must hold the scalars"),
        ("scalars.csv", "step\n1\n", "must hold the scalars of a run"),
    ],
)
def test_damaged_files_of_a_run_are_refused(tmp_path, name, content, rule):
    run = inpainting(tmp_path)
    end_run(run)
    path = tmp_path / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(RefusedError, match=rule) as refused:
        rows_of(run, method="conv")
    assert str(refused.value).startswith(f"{path} must ")


def test_interrupted_comparison_resumes(tmp_path, monkeypatch):
    config = resamplers(tmp_path, methods=("conv",), seeds=(0, 1), steps=3)
    batches, count = InpaintingTask.batches, itertools.count()

    def second_stops(task):
        own = batches(task)
        return Stopping(own, after=1) if next(count) == 1 else own

    with monkeypatch.context() as patch:
        patch.setattr(InpaintingTask, "batches", second_stops)
        assert call(compare_resamplers.main, config)[0] == 128 + 15
    rows = read_rows(config.results)
    assert [row.seed for row in rows if row.method == "conv"] == [0]
    shutil.rmtree(tmp_path / "runs" / "conv-0")
    assert call(compare_resamplers.main, config)[0] == 0
    last = read_rows(config.results)[-1]
    assert (last.method, last.seed, last.steps) == ("conv", 1, 3)
    assert not (tmp_path / "runs" / "conv-0").exists()


def test_table_can_be_printed_as_markdown(tmp_path, made):
    config = resamplers(tmp_path, seeds=(0, 1), methods=("conv",), table="markdown")
    _, text = call(compare_resamplers.main, config, width=20)
    deviation = f"{2**-0.5:.2f}"
    assert (
        "| | PSNR (dB), hole | SSIM, hole | seeds | steps | seconds | images/s |\n"
        "|---|---|---|---|---|---|---|\n"
        "| biharmonic | 20.00 | 0.500 | | | | |\n"
        f"| plain layers, as many steps | 21.50 ± {deviation} | 0.500 ± 0.000 "
        "| 2 | 2 | 60 | 52 |\n"
    ) in text


def test_networks_of_one_name_have_a_row_each(tmp_path, made):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Widths(ComparisonConfig):
        base: InpaintingRun = inpainting(tmp_path)
        results: pathlib.Path = tmp_path / "results.csv"

    config = Widths(seeds=(0,))
    runs = {
        "narrow": config.base,
        "wide": with_fields(config.base, "network", stage_features=(5, 8)),
    }
    console = Console(record=True, width=200)
    assert repeat_over_seeds(config, runs, console=console) == 0
    text = console.export_text()
    assert "U-Net (narrow)" in text
    assert "U-Net (wide)" in text


def test_distributed_comparison_is_refused(tmp_path):
    config = resamplers(tmp_path)
    base = dataclasses.replace(config.base, distributed=True)
    with pytest.raises(ValueError, match=r"`base\.distributed` must be False"):
        call(compare_resamplers.main, dataclasses.replace(config, base=base))


@pytest.mark.parametrize(
    "comparison_class",
    [
        compare_resamplers.Comparison,
        compare_downsamplers.Comparison,
        compare_generators.Comparison,
    ],
)
@pytest.mark.parametrize("field", ["methods", "seeds"])
def test_empty_comparison_is_refused(comparison_class, field):
    with pytest.raises(ValueError, match=f"`{field}` must be one or more"):
        comparison_class(**{field: ()})


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        (
            {"methods": ("nearest",)},
            "`methods` must be among carafe, conv, conv_time, got",
        ),
        ({"conv_time_factor": 0.5}, "`conv_time_factor` must be at least 1, got 0.5"),
    ],
)
def test_fields_that_fit_no_method_are_refused(tmp_path, fields, rule):
    with pytest.raises(ValueError, match=rule):
        call(compare_resamplers.main, resamplers(tmp_path, **fields))


def test_results_must_be_a_csv(tmp_path):
    with pytest.raises(ValueError, match=r"`results` must be the path of a CSV"):
        compare_resamplers.Comparison(results=tmp_path / "results")
