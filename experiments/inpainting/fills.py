"""Classic fills, to tell a trained network from nothing."""

import numpy as np
from jaxtyping import Float32
from skimage.restoration import inpaint_biharmonic

from carafe_jax.data import InpaintingBatch


def mean_colour(batch: InpaintingBatch) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole with the mean of the pixels that are given."""
    image, mask = batch["image"], batch["mask"]
    given = (image * (1 - mask)).sum((1, 2), keepdims=True)
    mean = given / (1 - mask).sum((1, 2), keepdims=True)
    return np.where(mask > 0, mean, image).astype(np.float32)


def biharmonic(batch: InpaintingBatch) -> Float32[np.ndarray, "n h w 3"]:
    """Fill each hole with the smoothest continuation (Chui & Mhaskar 2010)."""
    pairs = zip(batch["image"], batch["mask"], strict=True)
    filled = [
        inpaint_biharmonic(
            image * (1 - mask),
            mask[..., 0] > 0,
            channel_axis=-1,
            split_into_regions=True,
        )
        for image, mask in pairs
    ]
    return np.stack(filled).clip(-1, 1).astype(np.float32)
