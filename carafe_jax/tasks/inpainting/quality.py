"""Quality of filled images: metrics, and their columns in tables."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.metrics import inpainting_quality, to_unit_range
from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.tables import Column

COLUMNS = {
    f"{region}_{name}": Column(f"{region}\n{title}", digits)
    for region in ("hole", "whole")
    for name, title, digits in (
        ("l1", "L1 (%)", 2),
        ("psnr", "PSNR (dB)", 2),
        ("ssim", "SSIM", 3),
    )
}


def quality_of_each(
    filled: Float[Array | np.ndarray, "n h w 3"], truth: InpaintingBatch
) -> dict[str, Float[Array, "n"]]:
    """Return the quality of each filled image, in its hole and as a whole.

    Args:
      filled: Filled images in [-1, 1].
      truth: True images, and their masks.
    """
    measured = inpainting_quality(
        to_unit_range(jnp.asarray(filled)),
        to_unit_range(jnp.asarray(truth["image"])),
        masks=jnp.asarray(truth["mask"]),
    )
    return {
        f"{region}_{name}": values
        for region, numbers in measured._asdict().items()
        for name, values in numbers._asdict().items()
    }
