"""Export of a trained segmentation network to one file that runs without carafe-jax."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, UInt8

from carafe_jax.arguments import check
from carafe_jax.tasks.exported_program import (
    Platform,
    check_fixed_program,
    serialised_program,
)
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.data_settings import SIZE_DIVISOR
from carafe_jax.tasks.segmentation.prediction import TrainedSegmenter

_LANDSCAPE = Size(3000, 4000)  # The most common aspect ratio of cameras.


def export(
    trained: TrainedSegmenter,
    *,
    platform: Platform = "cpu",
    batch_size: int = 1,
    size: tuple[int, int] | None = None,
) -> bytearray:
    """Return the serialised program that segments images of one size.

    The program is called with images, uint8 (n, h, w, 3), RGB in [0, 255]. It returns
    their label maps, uint8 (n, h, w), with the index of a class in each pixel.

    Args:
      trained: The network.
      platform: Platform that the program runs on, "cpu" or "tpu".
      batch_size: Images per batch, n.
      size: Height and width of the images, multiples of 32. None: those of a landscape
        photograph of 4:3, resized as in `trained.views`.

    Raises:
      RefusedError: An argument is invalid.
      MissingExtraError: flatbuffers is not installed.
    """
    window = trained.views.sliding_window
    rule = "be None, as an exported program takes whole images"
    check("trained.views.sliding_window", window, rule, holds=window is None)
    sides = trained.views.short_sides
    rule = "have at most one side, as an exported program takes images of one size"
    check("trained.views.short_sides", sides, rule, holds=len(sides) <= 1)
    check_fixed_program(
        platform=platform,
        batch_size=batch_size,
        size=size,
        size_divisor=SIZE_DIVISOR,
        kind="segmentation network",
    )
    height, width = exported_size(trained, size)

    def segment(image: UInt8[Array, "n h w 3"]) -> UInt8[Array, "n h w"]:
        whole: Int32[Array, 2] = jnp.array([height, width], jnp.int32)
        return trained.predict(
            {
                "images": [image],
                "label": image[..., 0],  # Only its shape is read.
                "label_size": jnp.broadcast_to(whole, (batch_size, 2)),
            }
        )

    image = jax.ShapeDtypeStruct((batch_size, height, width, 3), jnp.uint8)
    return serialised_program(segment, image, platform=platform)


def exported_size(trained: TrainedSegmenter, size: tuple[int, int] | None) -> Size:
    """Return the size of the images of an exported program."""
    if size is not None:
        return Size(*size)
    return trained.views.sizes(_LANDSCAPE, trained.data)[0]
