"""Programs of several networks that are timed in turn."""

import csv

from rich.console import Console

from experiments.benchmarks.networks.timed_programs import (
    compile_programs,
    time_in_turn,
    write_times,
)


def absent():
    raise ImportError("no such library")


def test_programs_are_compiled_once_and_timed_after_a_warm_up(tmp_path):
    called = []
    made = {
        "ours": lambda: {x: lambda x=x: called.append(x) for x in ("infer", "train")},
        "peer": absent,
    }
    console = Console(record=True, width=100)
    titles = {"ours": "our network", "peer": "another network"}
    programs = compile_programs(made, modes=("train",), titles=titles, console=console)
    assert called == ["train"]
    assert "Left out: another network (no such library)" in console.export_text()
    time_in_turn(programs, repetitions=3, console=console)
    assert called == ["train"] * 7
    path = tmp_path / "new" / "times.csv"
    write_times(path, programs, sizes=lambda _: {"batch_size": 4})
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    (program,) = programs
    assert len(program.seconds) == 3
    assert (row["network"], row["mode"], row["batch_size"]) == ("ours", "train", "4")
    assert float(row["seconds"]) == sorted(program.seconds)[1]
    assert float(row["fastest"]) == min(program.seconds)
    assert float(row["images_per_second"]) == 4 / program.median
    assert row["jax"]
