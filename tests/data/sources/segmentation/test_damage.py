"""Random damage to the files of a folder never raises other than documented errors."""

import shutil

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import (
    Split,
    UnreadableImageError,
    decode_image,
    open_segmented_images,
)
from carafe_jax.errors import RefusedError
from tests.data.sources.segmentation.folders import (
    save_image,
    save_labels,
    write_split,
)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file that is cut, has other bytes or a part of itself again."""
    data = np.frombuffer(content, np.uint8).copy()
    kind = rng.integers(4)
    start, end = np.sort(rng.integers(len(data) + 1, size=2))
    if kind == 0:
        return content[:end]
    if kind == 1:
        return content[:start] + content[end:]
    if kind == 2:
        return content[:end] + content[start:]
    places = rng.integers(len(data), size=rng.integers(1, 6))
    data[places] = rng.integers(256, size=len(places))
    return data.tobytes()


def read_all(root) -> int:
    """Read what can be read; return the number of images."""
    read = 0
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        try:
            images = open_segmented_images(str(root), split=split)
        except RefusedError:
            continue
        for index in range(len(images)):
            try:
                image, labels = images.open(index)
                with image:
                    pixels = decode_image(image)
            except UnreadableImageError:
                continue
            assert pixels.shape[:2] == labels.shape == images.size(index)
            assert set(np.unique(labels)) <= {*range(len(images.classes)), 255}
            read += 1
    return read


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of files of several kinds."""
    root = write_split(tmp_path_factory.mktemp("whole"), ["a", "b"])
    write_split(root, ["t"], split="val")
    noise = np.random.default_rng(0).choice([0, 2, 7, 255], (30, 40)).astype(np.uint8)
    image = Image.fromarray(noise)
    image.putpalette([9, 8, 7] * 256)
    image.save(root / "train" / "labels" / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    save_image(root / "train" / "images" / "b.jpg", (30, 40), exif=exif)
    save_labels(root / "train" / "labels" / "c.png", noise)
    save_image(root / "train" / "images" / "c.webp", (40, 30))
    assert read_all(root) == 4
    return root


@pytest.mark.parametrize("seed", range(60))
def test_damage_raises_documented_errors(whole, tmp_path, seed):
    rng = np.random.default_rng(seed)
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for index in rng.choice(len(files), rng.integers(1, 4), replace=False):
        path = files[index]
        match int(rng.integers(5)):
            case 0:
                path.unlink()
            case 1:
                other = files[rng.integers(len(files))]
                path.write_bytes(other.read_bytes() if other.exists() else b"")
            case _:
                path.write_bytes(damaged(path.read_bytes(), rng))
    read_all(root)
