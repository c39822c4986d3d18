"""Resamplers of a UperNet: the rows of table IX, and the up-samplers of table IV."""

from typing import Any

PLAIN: dict[str, Any] = {
    "downsampler": "conv",
    "ppm_upsampler": "bilinear",
    "fpn_upsampler": "bilinear",
    "fuse_upsampler": "bilinear",
}
"""Fields of a `SegmenterConfig` without CARAFE++."""
_PPM: dict[str, Any] = {"ppm_upsampler": "carafe"}
_FPN: dict[str, Any] = {"fpn_upsampler": "carafe"}
_FUSE: dict[str, Any] = {"fuse_upsampler": "carafe"}
_BACKBONE: dict[str, Any] = {"downsampler": "carafe"}
PLACES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "ppm": PLAIN | _PPM,
    "fpn": PLAIN | _FPN,
    "fuse": PLAIN | _FUSE,
    "ppm_fpn": PLAIN | _PPM | _FPN,
    "ppm_fuse": PLAIN | _PPM | _FUSE,
    "fpn_fuse": PLAIN | _FPN | _FUSE,
    "ppm_fpn_fuse": PLAIN | _PPM | _FPN | _FUSE,
    "backbone": PLAIN | _BACKBONE,
    "all_four": PLAIN | _BACKBONE | _PPM | _FPN | _FUSE,
}
"""Fields with CARAFE++ in each place and in several, by the name of the row."""
_UPSAMPLERS = (
    "nearest",
    "nearest_conv",
    "bilinear_conv",
    "deconv",
    "pixel_shuffle",
    "gum",
    "spatial_attention",
)
METHODS: dict[str, dict[str, Any]] = {
    **PLACES,
    # As CARAFE++ in the fusion: level by level.
    "sequential_bilinear": PLAIN | {"fuse_upsampler": "sequential_bilinear"},
    **{x: PLAIN | {"fpn_upsampler": x, "fuse_upsampler": x} for x in _UPSAMPLERS},
}
"""`PLACES`, then fields with each other up-sampler in the pyramid and the fusion."""
