"""Count the parameters and multiply-adds of ResNet with each down-sampler.

Paper: CARAFE++ (arXiv:2012.04733), section 4.1: little overhead.
Cost: seconds on a CPU; nothing is trained or compiled.
Shows: a table, also as sizes.csv.
Command: python -m experiments.benchmarks.networks.sizes
"""

import csv
import dataclasses
import math
import pathlib
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jax.extend import core
from rich.console import Console
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.models import ClassifierConfig, Depth, Downsampler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Networks whose sizes are counted."""

    depths: tuple[Depth, ...] = (50, 101)
    """Layers of the ResNets."""
    downsamplers: tuple[Downsampler, ...] = get_args(Downsampler)
    """Down-samplers of the ResNets."""
    image_size: int = 224
    """Side of the image, in pixels."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/networks/sizes.csv")
    """The table as a file."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of one network."""

    depth: int
    downsampler: str
    parameters: int
    multiply_adds: int
    """Multiply-adds of convolutions, matrix products and reassemblies for one image."""


def main(config: Sizes, console: Console) -> int:
    """Count the networks' sizes and print the table."""
    sizes = [
        measure(
            ClassifierConfig(depth=depth, downsampler=downsampler),
            image_size=config.image_size,
        )
        for depth in config.depths
        for downsampler in config.downsamplers
    ]
    table = Table(title=f"ResNet with each down-sampler, {config.image_size} px")
    for column in (
        "network",
        "down-sampler",
        "parameters",
        "multiply-adds",
        "over conv",
    ):
        table.add_column(column, justify="left" if column == "network" else "right")
    for size in sizes:
        conv = next(
            (s for s in sizes if (s.depth, s.downsampler) == (size.depth, "conv")), None
        )
        over = size.multiply_adds / conv.multiply_adds - 1 if conv else math.nan
        table.add_row(
            f"ResNet-{size.depth}",
            size.downsampler,
            f"{size.parameters / 1e6:.3f} M",
            f"{size.multiply_adds / 1e9:.3f} G",
            f"{100 * over:+.1f} %",
        )
    console.print(table)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in dataclasses.fields(Size)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(size) for size in sizes)
    console.print(f"Table: {config.output}", markup=False)
    return 0


def measure(model: ClassifierConfig, *, image_size: int, classes: int = 1000) -> Size:
    """Return the parameters and multiply-adds of one network."""
    network = model.make(classes)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    jaxpr = jax.make_jaxpr(network.apply)(variables, image)
    return Size(
        depth=model.depth,
        downsampler=model.downsampler,
        parameters=sum(x.size for x in jax.tree.leaves(variables["params"])),
        multiply_adds=_multiply_adds(jaxpr.jaxpr),
    )


def _multiply_adds(jaxpr: Any) -> int:
    """Return the multiply-adds of a program, nested programs included."""
    return sum(map(_of_equation, jaxpr.eqns))


def _of_equation(equation: Any) -> int:
    match equation.primitive.name:
        case "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            # All but one axis of the kernel, its outputs, are summed over.
            spec = equation.params["dimension_numbers"].rhs_spec
            return equation.outvars[0].aval.size * math.prod(kernel) // kernel[spec[0]]
        case "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            return equation.outvars[0].aval.size * math.prod(
                shape[axis] for axis in contracted
            )
        case "carafe_launch":
            taps = equation.invars[1].aval.shape[-1]
            return equation.outvars[0].aval.size * taps
    return sum(map(_multiply_adds, core.jaxprs_in_params(equation.params)))


if __name__ == "__main__":
    run(main, Sizes(), doc=__doc__)
