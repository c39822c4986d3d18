"""What runs the programs: the device at hand, and the kernels that there are for it."""

import jax
from carafe_pallas import support


def on_accelerator() -> bool:
    """Tell whether JAX runs on anything but a CPU."""
    return jax.default_backend() != "cpu"


def backends() -> tuple[support.Backend, ...]:
    """Return the backends of the platform at hand, none on a CPU."""
    platform = jax.default_backend()
    return support.PLATFORMS.get("cuda" if platform == "gpu" else platform, ())
