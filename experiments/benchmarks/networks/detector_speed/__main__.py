"""Time Mask R-CNN with and without CARAFE++, beside torchvision's.

Paper: table I of CARAFE++ (arXiv:2012.04733): FPN with CARAFE++, 12.5 to 12.2 images/s.
Cost: half an hour on two CPU cores.
Shows: medians of inference and of a training step, and of the ResNet alone, forward and
with gradients, whose time is that of its convolutions; as a table and
detector_speed.csv. torchvision's rows need torch and torchvision.
Command: python -m experiments.benchmarks.networks.detector_speed
"""

import functools
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.nn import CARAFEUpsample
from carafe_jax.tasks.lines import print_line
from experiments.benchmarks.networks.detector_speed.config import (
    TITLES,
    DetectorSpeed,
    NetworkName,
)
from experiments.benchmarks.networks.detector_speed.inputs import Inputs
from experiments.benchmarks.networks.detector_speed.ours import programs_of
from experiments.benchmarks.networks.detector_speed.peer import torchvision_programs
from experiments.benchmarks.networks.timed_programs import (
    Calls,
    Program,
    compile_programs,
    time_in_turn,
    write_times,
)

_CARAFE_FPN = {"upsample": CARAFEUpsample, "extra_level": "lateral"}
_CARAFE = {"upsample": CARAFEUpsample}
_PREPARE: dict[NetworkName, Callable[[Inputs], Calls]] = {
    "torchvision": torchvision_programs,
    "carafe_jax": functools.partial(programs_of, fpn={}, mask={}),
    "carafe_fpn": functools.partial(programs_of, fpn=_CARAFE_FPN, mask={}),
    "carafe_fpn_mask": functools.partial(programs_of, fpn=_CARAFE_FPN, mask=_CARAFE),
}


def main(config: DetectorSpeed, console: Console) -> int:
    """Compile all programs, then time them in turn."""
    inputs = Inputs.draw(config)
    programs = compile_programs(
        {x: functools.partial(_PREPARE[x], inputs) for x in config.networks},
        modes=config.modes,
        titles={**TITLES},
        console=console,
    )
    if not programs:
        raise RefusedError(
            f"`networks` must have one that runs, got {config.networks}."
        )
    time_in_turn(programs, repetitions=config.repetitions, console=console)
    sizes = {
        "batch_size": config.batch_size,
        "height": config.height,
        "width": config.width,
        "objects": config.objects,
    }
    write_times(config.output, programs, sizes=lambda _: sizes)
    console.print(_draw(config, programs))
    print_line(console, f"Table: {config.output}")
    return 0


def _draw(config: DetectorSpeed, programs: list[Program]) -> Table:
    device = describe_machine().device
    table = Table(
        title=f"Mask R-CNN R50 FPN, {config.batch_size} x {config.height} x "
        f"{config.width}, float32, {device}; medians of {config.repetitions}, ms"
    )
    table.add_column("network")
    for mode in config.modes:
        table.add_column(mode.replace("_", " "), justify="right")
    found = {(x.network, x.mode): f"{1e3 * x.median:.0f}" for x in programs}
    for name in config.networks:
        if any(network == name for network, _ in found):
            table.add_row(TITLES[name], *(found[name, mode] for mode in config.modes))
    return table


if __name__ == "__main__":
    run(main, DetectorSpeed, doc=__doc__)
