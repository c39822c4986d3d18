"""RoIAlign: features of regions, and the levels that they are read from."""

from carafe_jax.ops.roi_align.api import roi_align as roi_align
from carafe_jax.ops.roi_align.levels import roi_levels as roi_levels
