"""A segmentation network with drawn weights and all that `load` adds to one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.segmentation import (
    LabelClasses,
    SegmentationData,
    TrainedSegmenter,
)

SIDE = 64  # Largest side of the resized images.
CLASSES = LabelClasses(("sky", "tree", "road"), ((9, 99, 200), (0, 128, 0), (90, 0, 9)))
CONFIG = SegmenterConfig(
    depth=18,
    width=4,
    features=8,
    pooled_features=4,
    ppm_upsampler="bilinear",
    fpn_upsampler="bilinear",
    fuse_upsampler="bilinear",
)


def tiny_trained_segmenter(**fields: Any) -> TrainedSegmenter:
    network: Any = CONFIG.make(len(CLASSES.names))
    # A block in each stage: half of them.
    network = network.clone(backbone=network.backbone.clone(stage_sizes=(1, 1, 1, 1)))
    return TrainedSegmenter(
        **{
            "network": network,
            "variables": _drawn_variables(network),
            "name": "tiny UperNet",
            "dtype": "float32",
            "align_corners": False,
            "classes": CLASSES,
            "data": SegmentationData(
                source="none", short_sides=(SIDE,), test_short_side=SIDE, long_side=SIDE
            ),
            "step": 7,
            **fields,
        }
    )


def _drawn_variables(network: Any) -> Any:
    """Draw weights with NumPy: initializers take longer to compile than a test."""
    images = jnp.zeros((1, SIDE, SIDE, 3))
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> jax.Array:
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape)
        if path[-1].key in ("bias", "mean"):
            return jnp.zeros(leaf.shape)
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(rng.normal(size=leaf.shape, scale=scale), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)
