"""Reading of label maps: images whose values are indices, not brightnesses."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.decoding import decoder_errors
from carafe_jax.data.loading import GREY_STEPS, raw_mode_of
from carafe_jax.errors import RefusedError

# One bit, grey values and indices of a palette, of at most 8 bits.
_MODES = ("1", "L", "P")


def check_label_header(file: Image.Image, name: str) -> None:
    """Raise unless a file is a label map, by its header.

    Args:
      file: Image opened by Pillow; it is not decoded.
      name: Printable name of the file, for the error.

    Raises:
      RefusedError: It is no PNG, or has several channels or over 8 bits.
    """
    if file.format != "PNG":
        raise RefusedError(
            "`source` must have label maps in PNG, which keeps their values, got "
            f"{file.format} in {name!r}."
        )
    if file.mode not in _MODES:
        raise RefusedError(
            "`source` must have label maps of one channel of at most 8 bits, got "
            f"{_channels(file)} in {name!r}."
        )


def read_values(file: Image.Image, name: str) -> UInt8[np.ndarray, "h w"]:
    """Return the stored values of a label map: indices of a palette as they are.

    Args:
      file: Image opened by Pillow, not yet decoded, with a header that
        `check_label_header` accepts.
      name: Name of the file, for the error.

    Raises:
      UnreadableImageError: The file is damaged.
    """
    with decoder_errors(name):
        # Pillow spreads grey values of 2 and 4 bits over [0, 255].
        step = GREY_STEPS.get(raw_mode_of(file), 1)
        values = np.asarray(file).astype(np.uint8)
        return values // np.uint8(step)


def _channels(file: Image.Image) -> str:
    if file.mode.startswith("I"):
        return "16 bits"
    return f"the channels {file.mode}"
