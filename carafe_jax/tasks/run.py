"""A run of any task: training, and the final table."""

import pathlib
from typing import Any

from rich.console import Console

from carafe_jax.arguments import check, errors_in_group
from carafe_jax.data.sources.opening import name_of_source, reads_from
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.optimizer_choice import OptimizerChoice
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.tasks.run_folder import check_run, starting_weights, store_config
from carafe_jax.tasks.tables import draw_table, read_steps, read_table, write_table
from carafe_jax.texts import counted
from carafe_jax.train import (
    hold_workdir,
    is_first,
    join_processes,
    read_provenance,
    train,
)


def train_and_report(config: RunConfig, console: Console) -> int:
    """Train, or resume training; then write and print the table of results.

    Args:
      config: Configuration of the run.
      console: Console for the progress bar and the table.

    Returns:
      The exit status: 0, or 128 plus the number of the signal that stopped training.

    Raises:
      RefusedError: The folder is in use by another run, holds one with another
        configuration or is among the data; or a field, the data or the weights break a
        rule.
    """
    if config.distributed:
        join_processes()
    if not is_first():
        console = Console(quiet=True)
    # `hold_workdir` writes into the folder.
    _check_outside_of_data(config)
    data: Any = type(config.data)  # Any: a protocol is no dataclass to type checkers.
    with hold_workdir(config.workdir), errors_in_group("data", data):
        return _train_and_report(config, console)


def _train_and_report(config: RunConfig, console: Console) -> int:
    check_run(config)
    _check_microbatches(config)
    with console.status("opening the data"):
        task = config.make_task()
    loop = config.loop
    if loop.depends_on_epoch:
        loop = loop.in_steps(task.steps_per_epoch())
    steps = loop.total_steps
    if _is_finished(config.workdir, steps):
        length = "epochs" if config.loop.epochs is not None else "steps"
        print_line(
            console,
            f"This run is finished. A larger `loop.{length}` makes it longer; another "
            "`workdir` starts a new run.",
        )
        store_config(config)
        return show(config, console)
    task.prepare(config.workdir)
    store_config(config)
    print_line(
        console,
        f"{config.network_name}, {config.data.source}, {counted(steps, 'step')}",
    )
    optimizer = config.optimization
    kind: Any = type(optimizer)  # Any: as for the data.
    with errors_in_group(_optimizer_group(config), kind):
        outcome = train(
            task,
            optimizer=optimizer,
            loop=loop,
            workdir=config.workdir,
            weights=starting_weights(config),
            console=console,
        )
    if outcome.interrupted_by is not None:
        step, name = int(outcome.state.step), outcome.interrupted_by.name
        next_time = "resumes from here" if step else "starts again"
        print_line(
            console,
            f"Stopped by {name} after step {step} of {steps}. The same command "
            f"{next_time}.",
        )
        return 128 + outcome.interrupted_by
    with console.status("evaluating the network on the test images"):
        results = task.report(outcome.state, workdir=config.workdir, console=console)
    if not is_first():
        return 0
    write_table(config.workdir / "table.csv", results, steps=steps)
    return show(config, console)


def _optimizer_group(config: RunConfig) -> str:
    """Return the path of the optimizer that training uses."""
    optimizer = config.optimizer
    if isinstance(optimizer, OptimizerChoice):
        return f"optimizer.{optimizer.method}"
    return "optimizer"


def _check_outside_of_data(config: RunConfig) -> None:
    """Raise if the files of the run would be among those of its data."""
    source = config.data.source
    rule = f"be outside of the data, `data.source` {source!r}"
    holds = not reads_from(source, config.workdir)
    check("workdir", str(config.workdir), rule, holds=holds)


def _check_microbatches(config: RunConfig) -> None:
    """Raise unless the examples of a batch can be divided into the microbatches."""
    size, parts = config.data.batch_size, config.loop.accumulate
    rule = f"divide `data.batch_size`, {size}"
    check("loop.accumulate", parts, rule, holds=size % parts == 0)


def show(config: RunConfig, console: Console) -> int:
    """Print the table of a finished run, and the path of its pictures."""
    if not is_first():
        return 0
    path = config.workdir / "table.csv"
    results, steps = read_table(path), _measured_after(config.workdir)
    title = f"Test images of {name_of_source(config.data.source)}"
    if steps is not None:
        title += f", {counted(steps, 'step')}"
    console.print(draw_table(results, config.columns, title=title, label="method"))
    if (config.workdir / "samples.png").exists():
        print_line(console, f"Pictures: {config.workdir / 'samples.png'}")
    return 0


def _is_finished(workdir: pathlib.Path, steps: int) -> bool:
    return (workdir / "table.csv").exists() and _measured_after(workdir) == steps


def _measured_after(workdir: pathlib.Path) -> int | None:
    """Return the steps after which the table of a run was made.

    Version 0.1 stored them in provenance.json.
    """
    steps = read_steps(workdir / "table.csv")
    return read_provenance(workdir).get("steps") if steps is None else steps
