"""Data sets of TFDS with objects, with a stand-in for its module."""

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import Split, open_annotated_images
from carafe_jax.errors import RefusedError

NAME = "birds/boxes:1.0.0"


class Part(list):
    """Records of one split, with the features of the data set."""

    def __init__(self, records, features) -> None:
        super().__init__(records)
        self.dataset_info = types.SimpleNamespace(features=features)


def record(number, boxes=(), labels=(), **objects):
    """Return a record of an image that is 40 pixels wide and 30 high."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG")
    return {
        "image": file.getvalue(),
        "image/filename": f"{number}.jpg".encode(),
        "image/id": number,
        # As TFDS returns a sequence: a list for each feature.
        "objects": {
            "bbox": [np.array(box, np.float32) for box in boxes],
            "label": [np.int64(label) for label in labels],
            **objects,
        },
    }


def sequence(*names):
    label = types.SimpleNamespace(names=["finch", "owl"])
    return dict.fromkeys(("bbox", "label", *names), label)


@pytest.fixture
def install(monkeypatch):
    def install(*, objects=None, **parts):
        features = {"image": None, "objects": objects or sequence()}
        if objects == {}:
            del features["objects"]

        def data_source(name: str, *, download: bool, decoders) -> dict[str, Part]:
            assert (name, download) == (NAME, False)
            return {split: Part(x, features) for split, x in parts.items()}

        module = types.ModuleType("tensorflow_datasets")
        decode = types.SimpleNamespace(SkipDecoding=lambda: None)
        vars(module).update(data_source=data_source, decode=decode)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)

    return install


def open_birds(split: Split = "train", **options):
    return open_annotated_images(f"tfds:{NAME}", split=split, **options)


def test_boxes_are_in_pixels_of_the_image(install):
    first = record(
        7,
        [[0.1, 0.25, 0.5, 0.75], [0, 0, 1, 1]],
        [1, 0],
        is_crowd=[np.False_, np.True_],
        area=[np.int64(99), np.int64(1200)],
        id=[np.int64(5), np.int64(6)],
    )
    install(train=[record(3), first], validation=[record(4)])
    images = open_birds()
    assert len(images) == 2
    assert images.classes == ("finch", "owl")
    assert images.category_ids == (1, 2)
    assert images.size(1) == (30, 40)
    assert images.image_id(1) == 7
    assert images.name(1) == f"tfds:{NAME}/train[1]"
    with images.open(1) as image:
        assert image.size == (40, 30)
    objects = images.objects(1)
    np.testing.assert_allclose(
        objects.boxes, [[10, 3, 30, 15], [0, 0, 40, 30]], rtol=1e-6
    )
    assert objects.classes.tolist() == [1, 0]
    assert objects.crowd.tolist() == [False, True]
    assert objects.areas.tolist() == [99, 1200]
    assert objects.ids.tolist() == [5, 6]
    assert objects.masks is None
    assert len(images.objects(0)) == 0
    assert not images.findings
    coco = images.coco()
    assert [entry["file_name"] for entry in coco["images"]] == ["3.jpg", "7.jpg"]
    assert coco["annotations"][0]["category_id"] == 2
    assert len(open_birds("test", classes=("finch", "owl"))) == 1


def test_optional_features_may_be_missing(install):
    bare = record(3, [[0.1, 0.25, 0.5, 0.75]], [1])
    del bare["image/id"], bare["image/filename"]
    install(train=[bare])
    images = open_birds()
    assert images.image_id(0) == 0
    assert images.objects(0).areas.tolist() == pytest.approx([20 * 12])
    assert images.coco()["images"][0]["file_name"] == f"tfds:{NAME}/train[0]"
    (finding,) = images.findings
    assert "1 annotation without a positive `area`" in str(finding)


def test_unusable_boxes_and_records_are_dropped(install):
    damaged = record(1) | {"image": b"no image"}
    boxes = [[0.2, 0.2, 0.2, 0.4], [1, 1, 2, 2], [0, 0, np.nan, 1], [0, 0, 1, 1]]
    install(train=[damaged, record(2, boxes, [0, 0, 0, 1], area=[1, 1, 1, 1])])
    images = open_birds()
    assert len(images) == 1
    assert images.name(0) == f"tfds:{NAME}/train[1]"
    assert images.objects(0).classes.tolist() == [1]
    texts = [str(finding) for finding in images.findings.of("dropped")]
    assert texts == [
        f"1 record that cannot be read (tfds:{NAME}/train[0])",
        "1 box with coordinates that are not finite (2.jpg)",
        "1 box without area (2.jpg)",
        "1 box outside of the image (2.jpg)",
    ]


def test_masks_are_refused(install):
    install(train=[record(1, [[0, 0, 1, 1]], [0])])
    with pytest.raises(RefusedError, match="data sets of TFDS have boxes alone"):
        open_birds(masks="required")


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({}, r"feature 'objects', got 'tfds:.*\['image'\]"),
        ({"bbox": None}, r"feature 'label' of `objects`, got .*\['bbox'\]"),
    ],
)
def test_data_sets_without_objects_are_refused(install, objects, message):
    install(objects=objects, train=[record(1)])
    with pytest.raises(RefusedError, match=message):
        open_birds()


def test_other_classes_than_those_of_training_are_refused(install):
    install(test=[record(1)])
    with pytest.raises(
        RefusedError, match=r"classes of training, cat, got .*finch, owl"
    ):
        open_birds("test", classes=["cat"])


def test_repeated_ids_of_images_are_replaced(install):
    install(train=[record(7, [[0, 0, 1, 1]], [0]), record(7)])
    images = open_birds()
    assert [images.image_id(index) for index in range(2)] == [0, 1]


def test_unknown_labels_are_refused(install):
    install(train=[record(7, [[0, 0, 1, 1]], [-1])])
    with pytest.raises(RefusedError, match=r"labels below 2, got -1 in .*\[0\]"):
        open_birds()


def test_training_set_without_objects_is_refused(install):
    install(train=[record(1)])
    with pytest.raises(RefusedError, match="must hold an object to train on"):
        open_birds()
