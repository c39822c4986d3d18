"""Feature maps and scales of real networks."""

import dataclasses
import math
from fractions import Fraction
from typing import Literal

ShapeName = Literal[
    "fpn_p5_up",
    "fpn_p4_up",
    "fpn_p3_up",
    "fpn_p3_half",
    "fpn_p3_three_halves",
    "resnet_stem",
    "resnet_stage2",
    "resnet_stage3",
    "resnet_stage4",
    "mask_head",
    "unet",
    "fpn_p3_up_16",
    "resnet_stage2_64",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """Shape of a feature map, (n, h, w, c), and the scale of its reassembly."""

    name: str
    features: tuple[int, int, int, int]
    scale: Fraction

    @property
    def output(self) -> tuple[int, int, int, int]:
        """Shape of the reassembled map."""
        n, h, w, c = self.features
        return n, math.ceil(h * self.scale), math.ceil(w * self.scale), c

    def logits(self, *, kernel_size: int, groups: int) -> tuple[int, int, int, int]:
        """Return the shape of the content encoder's logits, by anchor."""
        n, h, w, _ = self.features
        up, down = self.scale.numerator, self.scale.denominator
        channels = up**2 * groups * kernel_size**2
        return n, math.ceil(h / down), math.ceil(w / down), channels


_SIZES: dict[ShapeName, tuple[tuple[int, int, int, int], Fraction]] = {
    # The top-down path of a feature pyramid over an 800 x 1216 image, P5 to P2.
    "fpn_p5_up": ((1, 25, 38, 256), Fraction(2)),
    "fpn_p4_up": ((1, 50, 76, 256), Fraction(2)),
    "fpn_p3_up": ((1, 100, 152, 256), Fraction(2)),
    "fpn_p3_half": ((1, 100, 152, 256), Fraction(1, 2)),
    "fpn_p3_three_halves": ((1, 100, 152, 256), Fraction(3, 2)),
    # The down-samplings of a ResNet-50 at 224 x 224: stem, then into stages 2 to 4.
    "resnet_stem": ((8, 112, 112, 64), Fraction(1, 2)),
    "resnet_stage2": ((8, 56, 56, 256), Fraction(1, 2)),
    "resnet_stage3": ((8, 28, 28, 512), Fraction(1, 2)),
    "resnet_stage4": ((8, 14, 14, 1024), Fraction(1, 2)),
    # Mask R-CNN at test time: one 14 x 14 map for each of 100 detections.
    "mask_head": ((100, 14, 14, 256), Fraction(2)),
    # The decoder of an inpainting U-Net.
    "unet": ((8, 64, 64, 64), Fraction(2)),
    # Training batches of a large accelerator.
    "fpn_p3_up_16": ((16, 100, 152, 256), Fraction(2)),
    "resnet_stage2_64": ((64, 56, 56, 256), Fraction(1, 2)),
}

SHAPES: dict[ShapeName, Shape] = {
    name: Shape(name=name, features=features, scale=scale)
    for name, (features, scale) in _SIZES.items()
}
LARGE: tuple[ShapeName, ...] = ("fpn_p3_up_16", "resnet_stage2_64")
QUICK: tuple[ShapeName, ...] = ("fpn_p3_up", "fpn_p3_half")
