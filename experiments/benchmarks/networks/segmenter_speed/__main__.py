"""Time UperNet with and without CARAFE++, beside the same network in PyTorch.

Paper: table VIII of CARAFE++ (arXiv:2012.04733), which gives no times.
Cost: 36 minutes on two CPU cores.
Shows: images/s of inference and of training steps, medians, and the fraction of
the time that CARAFE++ adds, as a table and segmenter_speed.csv. PyTorch's rows need
torch.
Command: python -m experiments.benchmarks.networks.segmenter_speed
"""

import functools
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.tasks.lines import print_line
from carafe_jax.texts import percent
from experiments.benchmarks.networks.segmenter_speed.config import (
    SIZES,
    TITLES,
    NetworkName,
    SegmenterSpeed,
    Variant,
)
from experiments.benchmarks.networks.segmenter_speed.inputs import Inputs
from experiments.benchmarks.networks.segmenter_speed.ours import (
    count_parameters,
    programs_of,
)
from experiments.benchmarks.networks.timed_programs import (
    Calls,
    Program,
    compile_programs,
    time_in_turn,
    write_times,
)


def main(config: SegmenterSpeed, console: Console) -> int:
    """Compile all programs, then time them in turn."""
    pairs: dict[str, tuple[NetworkName, Variant]] = {
        f"{network}_{variant}": (network, variant)
        for network in config.networks
        for variant in config.variants
    }
    prepare: dict[str, Callable[[], Calls]] = {
        name: functools.partial(_prepare, config, *pair) for name, pair in pairs.items()
    }
    titles = {x: f"{SIZES[n].title}, {TITLES[v]}" for x, (n, v) in pairs.items()}
    programs = compile_programs(
        prepare, modes=config.modes, titles=titles, console=console
    )
    if not programs:
        raise RefusedError(
            f"`variants` must have one that runs, got {config.variants}."
        )
    time_in_turn(programs, repetitions=config.repetitions, console=console)

    def sizes(program: Program) -> dict[str, int]:
        size = config.size(pairs[program.network][0])
        return {name: getattr(size, name) for name in ("batch_size", "height", "width")}

    write_times(config.output, programs, sizes=sizes)
    times = {(x.network, x.mode): x.median for x in programs}
    for network in config.networks:
        console.print(_draw(config, network, times))
    print_line(console, f"Table: {config.output}")
    return 0


def _prepare(config: SegmenterSpeed, network: NetworkName, variant: Variant) -> Calls:
    size = config.size(network)
    inputs, made = Inputs.draw(size), size.with_resamplers(variant)
    if variant != "torch":
        return programs_of(inputs, made)
    # It imports PyTorch, which need not be installed.
    from experiments.benchmarks.networks.segmenter_speed.peer import torch_programs

    parameters = count_parameters(made, classes=size.classes)
    return torch_programs(inputs, made, parameters=parameters)


def _draw(
    config: SegmenterSpeed,
    network: NetworkName,
    times: Mapping[tuple[str, str], float],
) -> Table:
    """Return a table of images/s, and of the fraction of time that CARAFE++ adds."""
    size = config.size(network)
    table = Table(
        title=f"{size.title}, {size.batch_size} x {size.height} x {size.width}, "
        f"float32, {describe_machine().device}; medians of {config.repetitions}"
    )
    table.add_column("network")
    for mode in config.modes:
        table.add_column(f"{mode},\nimages/s", justify="right")
        table.add_column("CARAFE++", justify="right")
    for variant in config.variants:
        cells: list[str] = []
        for mode in config.modes:
            seconds = times.get((f"{network}_{variant}", mode))
            plain = times.get((f"{network}_plain", mode))
            if seconds is None:
                break
            added = ""
            if plain is not None and variant in ("carafe", "carafe_all"):
                added = percent(1 - plain / seconds, digits=1)
            cells += [f"{size.batch_size / seconds:.2f}", added]
        if cells:
            table.add_row(TITLES[variant], *cells)
    return table


if __name__ == "__main__":
    run(main, SegmenterSpeed, doc=__doc__)
