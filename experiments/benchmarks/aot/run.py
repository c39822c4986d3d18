"""The run: compile for every chip whose compiler is installed, and report."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from experiments.benchmarks.aot.chips import CHIPS
from experiments.benchmarks.aot.compilation import compile_jobs
from experiments.benchmarks.aot.config import Config
from experiments.benchmarks.aot.jobs import Job, make_jobs
from experiments.benchmarks.aot.records import describe_versions, write_csv
from experiments.benchmarks.aot.result import Result
from experiments.benchmarks.aot.table import LEGENDS, make_table


def run(config: Config, console: Console) -> bool:
    """Compile and report; return whether all compiled and broke no rule."""
    missing = _report_missing(config, console)
    jobs = [job for job in make_jobs(config) if job.chip not in missing]
    config.output.mkdir(parents=True, exist_ok=True)
    path = config.output / "aot.csv"
    path.unlink(missing_ok=True)
    versions = describe_versions()
    reported: set[str] = set()
    results: list[Result] = []
    for own in _compile_all(jobs, config, console):
        console.print(make_table(own))
        _report_problems(own, reported, console)
        results += own
        write_csv(path, results, versions)
    if not results:
        console.print("Nothing was compiled.")
        return False
    platforms = (CHIPS[result.job.chip].platform for result in results)
    for platform in dict.fromkeys(platforms):
        console.print(LEGENDS[platform], highlight=False)
    console.print(f"Numbers: {path}", markup=False, highlight=False)
    wrong = any(result.status == "failed" or result.problems for result in results)
    return not wrong and not missing


def _report_missing(config: Config, console: Console) -> set[str]:
    missing = {name: CHIPS[name].missing() for name in config.chips}
    for reason in missing.values():
        if reason is not None:
            console.print(reason, markup=False, highlight=False)
    return {name for name, reason in missing.items() if reason is not None}


def _compile_all(
    jobs: Sequence[Job], config: Config, console: Console
) -> Iterator[list[Result]]:
    """Yield the results of one chip, backend and launch after another."""
    stopped = threading.Event()
    with (
        _progress(console) as progress,
        ThreadPoolExecutor(config.workers) as executor,
    ):
        bar = progress.add_task("Compiling", total=len(jobs))

        def compile_group(group: tuple[str, Sequence[Job]]) -> list[Result]:
            name, own = group
            results: list[Result] = []
            for result in compile_jobs(
                own,
                limit=config.limit,
                folder=config.output / name,
                keep_dumps=config.keep_dumps,
            ):
                results.append(result)
                progress.advance(bar)
                if stopped.is_set():
                    break
            return results

        groups = itertools.groupby(
            jobs, key=lambda job: f"{job.chip}-{job.backend}-{job.launch}"
        )
        try:
            yield from executor.map(
                compile_group, [(name, list(own)) for name, own in groups]
            )
        finally:
            # An interrupted run does not wait for the other compilations.
            stopped.set()
            executor.shutdown(wait=False, cancel_futures=True)


def _report_problems(
    results: Sequence[Result], reported: set[str], console: Console
) -> None:
    for result in results:
        lines = [f"{result.status}: {result.reason}"] if result.reason else []
        for line in lines + [f"broken rule: {problem}" for problem in result.problems]:
            # A backend gives the same reason for all dtypes and normalizers.
            message = f"{result.job.chip} {result.job.backend} {line}"
            if message not in reported:
                reported.add(message)
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
