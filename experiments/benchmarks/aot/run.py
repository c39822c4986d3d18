"""The run: compile for every chip that can be compiled for, then report."""

import itertools
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from experiments.benchmarks.aot.compilation import compile_jobs
from experiments.benchmarks.aot.config import Config
from experiments.benchmarks.aot.jobs import Job, make_jobs
from experiments.benchmarks.aot.records import describe_versions, write_csv
from experiments.benchmarks.aot.result import Result
from experiments.benchmarks.aot.table import LEGENDS, make_table
from experiments.benchmarks.aot.targets import TARGETS


def run(config: Config, console: Console) -> bool:
    """Compile and report; tell whether all that was asked for came out right."""
    missing = _tell_missing(config, console)
    jobs = [job for job in make_jobs(config) if job.target not in missing]
    config.output.mkdir(parents=True, exist_ok=True)
    results = _compile_all(jobs, config, console)
    if not results:
        console.print("Nothing was compiled.")
        return False
    path = config.output / "aot.csv"
    write_csv(path, results, describe_versions())
    console.print(f"Numbers: {path}", highlight=False)
    wrong = any(result.status == "failed" or result.problems for result in results)
    return not wrong and not missing


def _tell_missing(config: Config, console: Console) -> set[str]:
    missing = {name: TARGETS[name].missing() for name in config.targets}
    for reason in missing.values():
        if reason is not None:
            console.print(reason, markup=False, highlight=False)
    return {name for name, reason in missing.items() if reason is not None}


def _compile_all(jobs: Sequence[Job], config: Config, console: Console) -> list[Result]:
    every: list[Result] = []
    with _progress(console) as progress:
        bar = progress.add_task("", total=len(jobs))
        for _, own in itertools.groupby(
            jobs, key=lambda job: (job.target, job.backend)
        ):
            results = []
            own = list(own)
            progress.update(bar, description=f"{own[0].target}, {own[0].backend}")
            for result in compile_jobs(
                own,
                limit=config.limit,
                folder=config.output,
                keep_dumps=config.keep_dumps,
            ):
                results.append(result)
                progress.advance(bar)
            _tell(results, console)
            every += results
    for platform in dict.fromkeys(
        TARGETS[result.job.target].platform for result in every
    ):
        console.print(LEGENDS[platform], highlight=False)
    return every


def _tell(results: Sequence[Result], console: Console) -> None:
    for _, own in itertools.groupby(results, key=lambda result: result.job.launch):
        console.print(make_table(list(own)))
    told = set()
    for result in results:
        lines = [f"{result.status}: {result.reason}"] if result.reason else []
        for line in lines + [f"broken rule: {problem}" for problem in result.problems]:
            # A refusal says the same for all dtypes and normalizers.
            if line not in told:
                told.add(line)
                console.print(f"{result.job}: {line}", markup=False, highlight=False)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
