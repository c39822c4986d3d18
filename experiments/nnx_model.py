"""CARAFE++ inside a `flax.nnx` model, by `nnx.bridge.ToNNX`.

A small autoencoder learns to reconstruct images from maps of half their size. Its
down-sampler has a batch norm: in training it is called with `mutable=["batch_stats"]`,
so that the bridge stores its running statistics.
Cost: seconds on a CPU.
Shows: the loss at the first and at the last step, and after training.
Command: python -m experiments.nnx_model
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float
from rich.console import Console

import carafe_jax
from carafe_jax.arguments import check_count
from carafe_jax.cli.console import run
from carafe_jax.nn import BatchNorm


class AutoEncoder(nnx.Module):
    """An autoencoder that halves an image with CARAFE++ and doubles it again."""

    def __init__(self, image: Float[Array, "n h w 3"], *, rngs: nnx.Rngs) -> None:
        """Create the layers; those of linen infer their shapes from an example."""
        self.down = nnx.bridge.ToNNX(
            carafe_jax.CARAFEDownsample(norm=BatchNorm), rngs=rngs
        )
        half = self.down.lazy_init(image)(image)
        self.conv = nnx.Conv(3, 16, (3, 3), rngs=rngs)
        self.up = nnx.bridge.ToNNX(carafe_jax.CARAFEUpsample(), rngs=rngs)
        self.up.lazy_init(self.conv(half))
        self.output = nnx.Conv(16, 3, (3, 3), rngs=rngs)

    def __call__(
        self, image: Float[Array, "n h w 3"], *, train: bool = False
    ) -> Float[Array, "n h w 3"]:
        """Reconstruct the image; in training, the norm updates its statistics."""
        mutable = ["batch_stats"] if train else False
        half = self.down(image, train=train, mutable=mutable)
        return self.output(self.up(nnx.relu(self.conv(half))))


@nnx.jit
def train_step(
    model: AutoEncoder, optimizer: nnx.Optimizer, image: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    """Run one step; return the loss before it."""
    loss, gradients = nnx.value_and_grad(
        lambda model: jnp.square(model(image, train=True) - image).mean()
    )(model)
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def evaluate(model: AutoEncoder, image: Float[Array, "n h w 3"]) -> Float[Array, ""]:
    """Return the loss of a trained model, by its running statistics."""
    return jnp.square(model(image) - image).mean()


class Losses(NamedTuple):
    """Mean squared errors of a training."""

    first: float
    """Error of the first step."""
    last: float
    """Error of the last step."""
    trained: float
    """Error of the trained model, by the running statistics of its norm."""


def train(steps: int) -> Losses:
    """Train on one batch."""
    image = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3))
    model = AutoEncoder(image, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    losses = [train_step(model, optimizer, image) for _ in range(steps)]
    trained = float(evaluate(model, image))
    return Losses(float(losses[0]), float(losses[-1]), trained)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NNXModel:
    """Options of the training."""

    steps: int = 50
    """Optimizer steps."""

    def __post_init__(self) -> None:
        check_count("steps", self.steps)


def main(config: NNXModel, console: Console) -> int:
    """Train and show the losses."""
    first, last, trained = train(config.steps)
    console.print(
        f"loss {first:.4f} at the first step, {last:.4f} at the last, "
        f"{trained:.4f} of the trained model"
    )
    return 0


if __name__ == "__main__":
    run(main, NNXModel(), doc=__doc__)
