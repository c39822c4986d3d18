"""CARAFE++ inside a `flax.nnx` model, by `nnx.bridge.ToNNX`.

A small network learns to give back images from maps of half their size.
Cost: seconds on a CPU.
Shows: the loss at the first and at the last step.
Command: python -m experiments.nnx_model
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float
from rich.console import Console

import carafe_jax


class AutoEncoder(nnx.Module):
    """Halve an image with CARAFE++, think, and double it again."""

    def __init__(self, image: Float[Array, "n h w 3"], *, rngs: nnx.Rngs) -> None:
        """Make the layers; linen's learn their shapes from an example."""
        self.down = nnx.bridge.ToNNX(carafe_jax.CARAFEDownsample(), rngs=rngs)
        half = self.down.lazy_init(image)(image)
        self.conv = nnx.Conv(3, 16, (3, 3), rngs=rngs)
        self.up = nnx.bridge.ToNNX(carafe_jax.CARAFEUpsample(), rngs=rngs)
        self.up.lazy_init(self.conv(half))
        self.output = nnx.Conv(16, 3, (3, 3), rngs=rngs)

    def __call__(self, image: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        """Give back the image."""
        x = nnx.relu(self.conv(self.down(image)))
        return self.output(self.up(x))


@nnx.jit
def train_step(
    model: AutoEncoder, optimizer: nnx.Optimizer, image: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    """Make one step; returns the loss before it."""
    loss, gradients = nnx.value_and_grad(
        lambda model: jnp.square(model(image) - image).mean()
    )(model)
    optimizer.update(model, gradients)
    return loss


def main(steps: int = 50) -> tuple[float, float]:
    """Train on one batch; returns the first and the last loss."""
    image = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3))
    model = AutoEncoder(image, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    losses = [train_step(model, optimizer, image) for _ in range(steps)]
    return float(losses[0]), float(losses[-1])


if __name__ == "__main__":
    first, last = main()
    Console().print(f"loss {first:.4f} at the first step, {last:.4f} at the last")
