"""Data sets of TFDS, with a stand-in for its module."""

import io
import sys
import types
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import (
    UnreadableImages,
    decode_image,
    open_labelled_images,
    open_photographs,
)
from carafe_jax.errors import RefusedError

NAME = "birds/small:1.0.0"


class Part(list):
    """Records of one split, with the classes of the data set."""

    def __init__(self, records, features) -> None:
        super().__init__(records)
        self.dataset_info = types.SimpleNamespace(features=features)


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def install(monkeypatch):
    def install(*, features=("image", "label"), **parts: list[np.ndarray]) -> None:
        named = types.SimpleNamespace(names=["finch", "owl"])

        def data_source(name: str, *, download: bool, decoders) -> dict[str, Part]:
            assert (name, download) == (NAME, False)
            assert decoders == {"image": "as it is"}
            return {
                split: Part(
                    [{"image": encoded(i), "label": np.int64(1)} for i in images],
                    dict.fromkeys(features, named),
                )
                for split, images in parts.items()
            }

        module = types.ModuleType("tensorflow_datasets")
        decode = types.SimpleNamespace(SkipDecoding=lambda: "as it is")
        vars(module).update(data_source=data_source, decode=decode)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)

    return install


def open_birds(split, **kwargs):
    return open_photographs(f"tfds:{NAME}", split=split, minimum_side=16, **kwargs)


@pytest.mark.parametrize("test_name", ["test", "validation"])
def test_splits_are_used(install, test_name):
    bird, finch = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), np.uint8)
    install(train=[bird], **{test_name: [finch]})
    for split, found, expected in (
        ("train", "train", bird),
        ("test", test_name, finch),
    ):
        photographs = open_birds(split)
        assert len(photographs) == 1
        assert photographs.name(0) == f"tfds:{NAME}/{found}[0]"
        np.testing.assert_array_equal(photographs[0], expected, strict=True)


def test_another_test_set_can_be_chosen(install):
    dark, light = (np.full((20, 24, 3), shade, np.uint8) for shade in (9, 200))
    install(train=[dark], validation=[dark], test=[light])
    assert open_birds("test", test_split="test")[0].max() == 200
    name = f"tfds:{NAME}"
    image, _ = open_labelled_images(name, split="test", test_split="test").open(0)
    assert decode_image(image).max() == 200


@pytest.mark.parametrize("split", ["train", "test"])
def test_wrong_test_set_is_refused_whichever_split_is_opened(install, split):
    pixels = np.zeros((20, 24, 3), np.uint8)
    install(train=[pixels], validation=[pixels], test=[pixels])
    rule = r"`test_split` must be None or a split of `source` \(validation, test\), got"
    with pytest.raises(RefusedError, match=f"^{rule} 'val'"):
        open_birds(split, test_split="val")
    with pytest.raises(RefusedError, match=f"^{rule} 'val'"):
        open_labelled_images(f"tfds:{NAME}", split=split, test_split="val")


def test_grey_images_become_rgb(install):
    grey = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)
    install(train=[grey])
    expected = np.repeat(grey[..., None], 3, -1)
    np.testing.assert_array_equal(open_birds("train")[0], expected, strict=True)


def test_images_that_are_too_small_are_unreadable(install):
    install(train=[np.full((8, 12, 3), 9, np.uint8)])
    with pytest.raises(ValueError, match="12 x 8 pixels, a side under 16"):
        open_birds("train")[0]


def test_images_that_are_large_are_reduced(install):
    install(train=[np.full((100, 120, 3), 9, np.uint8)])
    assert open_birds("train", sufficient_side=50)[0].shape == (50, 60, 3)


def test_labelled_images_have_the_classes_of_the_data_set(install):
    install(train=[np.full((20, 24, 3), 9, np.uint8)])
    images = open_labelled_images(f"tfds:{NAME}", split="train")
    image, label = images.open(0)
    assert image.size == (24, 20)
    assert images.classes[label] == "owl"
    assert images.name(0) == f"tfds:{NAME}/train[0]"


@pytest.mark.parametrize("kind", ["image", "record"])
def test_damaged_records_are_unreadable_images(install, kind):
    install(train=[np.full((20, 24, 3), 9, np.uint8)] * 2)
    photographs = open_birds("train")
    labelled = open_labelled_images(f"tfds:{NAME}", split="train")
    opened: list[Any] = [photographs, labelled]
    for records in [source.images.records for source in opened]:
        if kind == "image":
            records[1]["image"] = records[1]["image"][:60]
        else:
            records[1] = None  # As a file whose records cannot be parsed.
    reader = UnreadableImages(photographs, limit=1)
    assert reader.read_or_next(1, photographs.__getitem__)[0, 0, 0] == 9
    reader = UnreadableImages(labelled, limit=1)
    assert reader.read_or_none(1, lambda index: decode(labelled.open(index))) is None


def decode(opened):
    image, label = opened
    return decode_image(image), label


@pytest.mark.parametrize("images", [None, []])
def test_missing_or_empty_splits_are_refused(install, images):
    parts = {} if images is None else {"test": images}
    install(train=[np.zeros((20, 24, 3), np.uint8)], **parts)
    with pytest.raises(
        ValueError, match=r"`source` must .*validation or test.*'train'"
    ):
        open_birds("test")


def test_data_sets_without_images_or_labels_are_refused(install):
    install(features=("image",), train=[np.zeros((20, 24, 3), np.uint8)])
    open_birds("train")
    with pytest.raises(ValueError, match=r"feature 'label', got 'tfds:.*\['image'\]"):
        open_labelled_images(f"tfds:{NAME}", split="train")
    install(features=("text",), train=[np.zeros((20, 24, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"feature 'image', got 'tfds:.*\['text'\]"):
        open_birds("train")


@pytest.mark.parametrize("kind", [AssertionError, NotImplementedError, ValueError])
def test_data_sets_that_are_not_prepared_are_refused(install, monkeypatch, kind):
    def data_source(name: str, **kwargs):
        raise kind("Dataset birds: no data.\nMany more lines.")

    install()
    monkeypatch.setattr(sys.modules["tensorflow_datasets"], "data_source", data_source)
    message = r"`source` must be a data set .* prepared, .* Dataset birds: no data\.$"
    with pytest.raises(RefusedError, match=message):
        open_birds("train")


def test_missing_tfds_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'carafe-jax\[tfds\]'"):
        open_birds("train")
