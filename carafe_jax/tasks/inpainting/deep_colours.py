"""Colours with 16 bits per channel, by OpenCV: Pillow reduces them to 8."""

import io
import pathlib
import re

import numpy as np
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import putchunk
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from carafe_jax.data import upright
from carafe_jax.data.decoding import decoder_errors
from carafe_jax.data.loading import raw_mode_of
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.opencv import require_opencv

DEEP_COLOURS = "Reading or writing colours with 16 bits per channel"
_END_OF_HEADER = 33  # Bytes of a PNG's signature and IHDR chunk.
SAVE_AS_PNG = "save it as a PNG in RGB or grey, of 8 or 16 bits per channel, first"


def bits_of(file: Image.Image, path: pathlib.Path) -> int:
    """Return the bits per channel of a file, which may be more than Pillow reads.

    Args:
      file: File as opened by Pillow, not yet decoded.
      path: Path of the file.

    Raises:
      UnreadableImageError: The file is damaged.
    """
    with decoder_errors(path):
        if isinstance(file, TiffImageFile):
            return max(file.tag_v2.get(BITSPERSAMPLE, (1,)))
        if isinstance(file, PpmImageFile):
            arguments = file.tile[0].args
            greatest = arguments[1] if isinstance(arguments, tuple) else 255
            return 16 if isinstance(greatest, int) and greatest > 255 else 8
        if isinstance(file, Jpeg2KImageFile):
            return _bits_of_jpeg_2000(path.read_bytes())
        if isinstance(file, AvifImageFile):
            return _bits_of_avif(path.read_bytes())
        found = re.search(r";(\d+)", raw_mode_of(file))
        return int(found[1]) if found else 8


def _bits_of_jpeg_2000(content: bytes) -> int:
    """Read the bit depth from the header box, or from the codestream's SIZ segment."""
    box = content.find(b"ihdr")
    depth = content[box + 14] if box >= 0 else content[content.find(b"\xff\x51") + 40]
    return (depth & 0x7F) + 1


def _bits_of_avif(content: bytes) -> int:
    """Read the bit depth from the codec configuration box."""
    box = content.find(b"av1C")
    flags = content[box + 6] if box >= 0 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def read_16_bits(
    path: pathlib.Path, file: Image.Image, *, narrow: np.ndarray
) -> np.ndarray:
    """Return the upright pixels of a file, uint16.

    Args:
      path: Path of the file.
      file: File as opened by Pillow.
      narrow: Upright pixels in 8 bits, as read by Pillow; both must have equal colours.

    Raises:
      UnreadableImageError: OpenCV cannot decode the file.
      RefusedError: OpenCV reads other pixels than Pillow, or reduces them to 8 bits.
      MissingExtraError: OpenCV is not installed.
    """
    cv2 = require_opencv(DEEP_COLOURS)
    with decoder_errors(path):
        # From bytes: OpenCV accepts only UTF-8 file names.
        content = np.frombuffer(path.read_bytes(), np.uint8)
        read = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if read is not None and read.dtype == np.uint16 and read.ndim == 3:
        wide = _turned(read[..., [2, 1, 0, 3][: read.shape[-1]]], file)
        if narrow.shape[-1] == 3:
            wide = wide[..., :3]  # A fourth channel that is not alpha.
        # OpenCV misreads some layouts of TIFFs.
        if _agree(wide, narrow):
            return wide
    raise RefusedError(
        f"its 16 bits per channel cannot be read from this {file.format}: {SAVE_AS_PNG}"
    )


def _turned(array: np.ndarray, file: Image.Image) -> np.ndarray:
    """Apply the orientation tag of a file to pixels."""
    height, width, channels = array.shape
    pixels = np.arange(height * width, dtype=np.int32).reshape(height, width)
    places = Image.fromarray(pixels)
    places.info = dict(file.info)
    return array.reshape(-1, channels)[np.asarray(upright(places))]


def _agree(wide: np.ndarray, narrow: np.ndarray) -> bool:
    """Return whether two readings have equal colours up to their bit depth."""
    if wide.shape != narrow.shape:
        return False
    return bool(np.all(np.abs(wide[..., :3] / 257 - narrow[..., :3]) <= 1))


def encode_16_bits(
    pixels: np.ndarray,
    profile: bytes | None,
    chunks: tuple[tuple[bytes, bytes], ...],
) -> bytes:
    """Return a PNG file of 16 bits per channel.

    Args:
      pixels: RGB or RGBA, uint16.
      profile: ICC profile.
      chunks: Types and contents of other chunks to write.

    Raises:
      MissingExtraError: OpenCV is not installed.
    """
    cv2 = require_opencv(DEEP_COLOURS)
    order = [2, 1, 0, 3][: pixels.shape[-1]]
    array = np.ascontiguousarray(pixels[..., order])
    kinds, contents = [], []
    if profile:
        kinds = [cv2.IMAGE_METADATA_ICCP]
        contents = [np.frombuffer(profile, np.uint8)]
    done, encoded = cv2.imencodeWithMetadata(".png", array, kinds, contents)
    assert done
    content, written = encoded.tobytes(), io.BytesIO()
    for kind, text in chunks:
        putchunk(written, kind, text)
    return content[:_END_OF_HEADER] + written.getvalue() + content[_END_OF_HEADER:]
