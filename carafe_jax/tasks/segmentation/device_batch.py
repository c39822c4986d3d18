"""Labels on the device."""

import jax.numpy as jnp
from jaxtyping import Array, Int32, UInt8

from carafe_jax.data import IGNORED_LABEL
from carafe_jax.errors import no_type_check


@no_type_check
def strided_labels(
    labels: UInt8[Array, "n h w"], *, stride: int
) -> Int32[Array, "n sh sw"]:
    """Return the labels of a network's outputs at a stride; to be traced by JAX.

    Output (i, j) gets the label of the pixel (stride * i, stride * j), as in CSAIL's
    code of early 2019; later versions take pixel 4i + 2 at stride 4.

    `sh = ceil(h / stride)`, `sw = ceil(w / stride)`.

    Args:
      labels: Indices of classes; 255 at ignored pixels.
      stride: Pixels of the image per pixel of the output, along each side.

    Returns:
      Indices of classes; -1 at ignored pixels.
    """
    strided = labels[:, ::stride, ::stride].astype(jnp.int32)
    return jnp.where(strided == IGNORED_LABEL, -1, strided)
