"""Data sets of TFDS with label maps, with a stand-in for its module."""

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import (
    SegmentedImages,
    Split,
    open_segmented_images,
)
from carafe_jax.errors import RefusedError
from tests.data.sources.segmentation.folders import found

NAME = "pets/parts:1.0.0"
FEATURES = ("photo", "parts")


class Part(list):
    """Records of one split, with the features of the data set."""

    def __init__(self, records, features) -> None:
        super().__init__(records)
        self.dataset_info = types.SimpleNamespace(features=features)


def encoded(pixels, kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(file, kind)
    return file.getvalue()


def record(values=((0, 2, 1), (2, 1, 0))):
    """Return a record of an image that is 3 pixels wide and 2 high."""
    return {"photo": encoded(np.zeros((2, 3, 3)), "JPEG"), "parts": encoded(values)}


@pytest.fixture
def install(monkeypatch):
    def install(*, names=("head", "void", "tail"), features=FEATURES, **parts):
        feature = types.SimpleNamespace(names=names)

        def data_source(name: str, *, download: bool, decoders) -> dict[str, Part]:
            assert not download
            assert decoders == dict.fromkeys(FEATURES, "as it is")
            made = dict.fromkeys(features, feature)
            return {split: Part(x, made) for split, x in parts.items()}

        module = types.ModuleType("tensorflow_datasets")
        decode = types.SimpleNamespace(SkipDecoding=lambda: "as it is")
        vars(module).update(data_source=data_source, decode=decode)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)

    return install


def open_pets(split: Split = "train", **options):
    image, label = FEATURES
    return open_segmented_images(
        f"tfds:{NAME}", split=split, image_feature=image, label_feature=label, **options
    )


def test_label_maps_of_records_are_read(install):
    install(train=[record(), record([[0, 0, 0], [255, 2, 2]])], test=[record()])
    images = open_pets()
    assert isinstance(images, SegmentedImages)
    assert len(images) == 2
    assert len(open_pets("test")) == 1
    assert images.classes == ("head", "tail")
    assert images.palette is None
    assert images.name(1) == f"tfds:{NAME}/train[1]"
    image, labels = images.open(1)
    assert image.size == (3, 2)
    assert images.size(1) == (2, 3)
    assert labels.tolist() == [[0, 0, 0], [255, 1, 1]]
    assert images.label_map(0).tolist() == [[0, 1, 255], [1, 255, 0]]
    assert "1 void class in the list" in found(images)["kept"]


def test_set_can_be_chosen(install):
    install(train=[record()], validation=[record()], test=[record()] * 2)
    assert len(open_pets("test")) == 1
    assert len(open_pets("test", test_split="test")) == 2
    assert len(open_pets("train", test_split="test")) == 1
    rule = r"`test_split` must .* \(validation, test\), got 'val'"
    for split in ("train", "test"):
        with pytest.raises(RefusedError, match=rule):
            open_pets(split, test_split="val")


def test_names_and_findings_have_the_split_that_was_found(install, caplog):
    install(train=[record()], validation=[None, record()])
    images = open_pets("test")
    assert images.name(0) == f"tfds:{NAME}/validation[1]"
    assert f"tfds:{NAME}/validation" in caplog.text
    assert "/test" not in caplog.text


def test_damaged_records_are_dropped(install):
    install(train=[None, record() | {"parts": b"no image"}, record()])
    images = open_pets()
    assert len(images) == 1
    assert images.name(0) == f"tfds:{NAME}/train[2]"
    assert "2 images that cannot be opened" in found(images)["dropped"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3, 3)), r"channels RGB in 'tfds:.*\[0\]/parts'"),
        (np.zeros((3, 3)), r"got 3 x 3 in .* and 3 x 2 upright"),
    ],
)
def test_records_without_label_maps_are_refused(install, values, message):
    install(train=[record(values)])
    with pytest.raises(RefusedError, match=message):
        open_pets()


def test_names_may_come_from_a_file(install, tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("0 pet 1 2 3\n2 background 0 0 9\n1 ignore 0 0 0")
    install(names=None, train=[record()])
    images = open_pets(classes_file=str(file))
    assert images.classes == ("pet", "background")
    with pytest.raises(RefusedError, match=r"`classes_file` must list the classes"):
        open_pets()


def test_missing_features_are_refused(install):
    install(features=("photo",), train=[record()])
    with pytest.raises(RefusedError, match=r"feature 'parts', got .*\['photo'\]"):
        open_pets()


def test_too_many_names_are_refused(install):
    install(names=[f"c{i}" for i in range(300)], train=[record()])
    with pytest.raises(RefusedError, match="at most 255 classes, got 300"):
        open_pets()


@pytest.mark.parametrize("version", ["", ":1.0.0", "/small"])
def test_instances_of_ade20k_are_refused(version):
    with pytest.raises(RefusedError, match="instances of 100 classes in two channels"):
        open_segmented_images(f"tfds:scene_parse150{version}", split="train")
