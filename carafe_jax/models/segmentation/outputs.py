"""Results of segmentation networks."""

from typing import NamedTuple

from jaxtyping import Array, Float


class SegmentationOutputs(NamedTuple):
    """Logits of the classes at each pixel of a decoder's last map."""

    logits: Float[Array, "n h w k"]
    auxiliary_logits: Float[Array, "n ah aw k"] | None = None
    """Logits of the auxiliary head, for the loss. None: the network has none."""
