"""The digest of a split, by which a change of it is noticed."""

import pickle

import pytest

from carafe_jax.data import open_annotated_images
from tests.data.sources.coco.files import (
    SQUARE,
    annotation,
    content,
    image,
    open_train,
    write_split,
)

TRIANGLE = [2, 2, 10, 2, 10, 8]
RUNS = {"size": [30, 40], "counts": [400, 5, 795]}
ENTRIES = [
    annotation(7, image_id=2, segmentation=[*SQUARE, TRIANGLE]),
    annotation(8, image_id=2, segmentation=RUNS, iscrowd=1, bbox=[13, 10, 1, 5]),
]


def digest_of(root, annotations=ENTRIES, *, masks=True, **fields):
    images = open_train(write_split(root, content(annotations, **fields)))
    return images.digest(masks=masks)


def test_ids_do_not_change_the_digest(tmp_path):
    before = digest_of(tmp_path)
    numbered = [{**entry, "id": 70 + i} for i, entry in enumerate(ENTRIES)]
    assert digest_of(tmp_path, numbered) == before
    images = open_train(tmp_path)
    assert pickle.loads(pickle.dumps(images)).digest(masks=True) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"bbox": [2, 2, 8, 5]},
        {"category_id": 3},
        {"iscrowd": 1},
        {"area": 47},
        {"image_id": 1},
    ],
)
@pytest.mark.parametrize("masks", [False, True])
def test_edited_annotations_change_the_digest(tmp_path, changed, masks):
    before = digest_of(tmp_path, masks=masks)
    edited = [ENTRIES[0] | changed, ENTRIES[1]]
    assert digest_of(tmp_path, edited, masks=masks) != before
    assert digest_of(tmp_path, ENTRIES[1:], masks=masks) != before


@pytest.mark.parametrize(
    ("place", "segmentation"),
    [
        (0, [SQUARE[0], [2, 2, 10, 2, 10, 7]]),
        (0, [[*SQUARE[0], *TRIANGLE]]),
        (1, RUNS | {"counts": [401, 5, 794]}),
    ],
)
def test_edited_masks_change_the_digest_where_they_are_trained(
    tmp_path, place, segmentation
):
    edited = [dict(entry) for entry in ENTRIES]
    edited[place]["segmentation"] = segmentation
    digests = [
        [digest_of(tmp_path, entries, masks=masks) for masks in (False, True)]
        for entries in (ENTRIES, edited)
    ]
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]


def test_added_and_renamed_photographs_change_the_digest(tmp_path):
    images = [image(1), image(2)]
    before = digest_of(tmp_path / "before", images=images)
    renamed = [image(1), image(2, file_name="20.png")]
    assert digest_of(tmp_path / "renamed", images=renamed) != before
    assert digest_of(tmp_path / "added", images=[*images, image(3)]) != before


def test_objects_of_the_other_split_do_not_change_the_digest(tmp_path):
    images = [image(number) for number in range(1, 9)]
    entries = [annotation(number, image_id=number) for number in range(2, 9)]

    def digests():
        write_split(tmp_path, content(entries, images=images))
        opened = open_annotated_images(str(tmp_path), split="train")
        test = open_annotated_images(str(tmp_path), split="test")
        return opened.digest(masks=True), test.digest(masks=True), test.image_id(0)

    train, test, tested = digests()
    entries[tested - 2]["segmentation"] = [TRIANGLE]
    assert digests()[0] == train
    assert digests()[1] != test
