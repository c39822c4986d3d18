"""Where the windows of pooling layers lie."""

from collections.abc import Sequence

from jaxtyping import Array, Float


def pool_padding(
    features: Float[Array, "n h w c"], kernel_size: int, stride: int
) -> Sequence[tuple[int, int]]:
    """Pad so that there are `ceil(size / stride)` windows around source pixels."""
    before = (kernel_size - 1) // 2
    lasts = [(size - 1) // stride * stride for size in features.shape[1:3]]
    return [
        (before, max(0, last - before + kernel_size - size))
        for last, size in zip(lasts, features.shape[1:3], strict=True)
    ]
