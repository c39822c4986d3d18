"""The platform of the programs: the device at hand, and its kernels."""

import jax
from carafe_pallas.backend import PLATFORMS, Backend


def on_accelerator() -> bool:
    """Return whether JAX runs on anything but a CPU."""
    return jax.default_backend() != "cpu"


def backends() -> tuple[Backend, ...]:
    """Return the backends of the platform at hand, none on a CPU."""
    platform = jax.default_backend()
    return PLATFORMS.get("cuda" if platform == "gpu" else platform, ())
