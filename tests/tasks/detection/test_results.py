"""Detections as COCO results."""

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from carafe_jax.run_length_codes import decode_mask
from carafe_jax.tasks.detection.results import coco_results, write_results
from tests.tasks.detection.small_set import SmallSet

IMAGES = SmallSet()


def outputs(*, masks=True):
    """Return two detections of photograph 3, and none of photograph 0."""
    box = np.zeros((2, 3, 4), np.float32)
    box[0, :2] = [[10, 4, 30.5, 20], [100, 0, 140, 30]]
    found = {
        "index": np.array([3, 0], np.int32),
        "box": box,
        "score": np.array([[0.75, 0.5, 0], [0, 0, 0]], np.float32),
        "label": np.array([[2, 0, 0], [0, 0, 0]], np.int32),
        "object": np.array([[True, True, False], [False, False, False]]),
    }
    return {**found, "mask": np.ones((2, 3, 4, 4), np.float32)} if masks else found


def test_results_have_the_ids_of_the_file_and_sizes_of_boxes():
    found = coco_results(outputs(masks=False), IMAGES)
    assert found == {
        3: [
            {
                "image_id": 97,
                "category_id": 9,
                "bbox": [10.0, 4.0, 20.5, 16.0],
                "score": 0.75,
            },
            {
                "image_id": 97,
                "category_id": 3,
                "bbox": [100.0, 0.0, 40.0, 30.0],
                "score": 0.5,
            },
        ],
        0: [],
    }


def test_masks_have_the_size_of_the_photograph():
    found: Any = coco_results(outputs(), IMAGES)[3]
    mask = decode_mask(found[1]["segmentation"])
    assert mask.shape == (30, 200)
    assert mask[5:25, 100:140].all()
    assert not mask[:, :100].any()
    assert not mask[:, 140:].any()


@pytest.mark.parametrize(
    ("kind", "region"), [("bbox", "bbox"), ("segm", "segmentation")]
)
def test_written_results_are_read_by_pycocotools(tmp_path, kind, region):
    detections = coco_results(outputs(), IMAGES)[3]
    write_results(tmp_path / "found.json", detections, kind=kind)
    content = json.loads((tmp_path / "found.json").read_text())
    assert [*content[0]] == [
        "image_id",
        "category_id",
        region,
        "score",
    ] or kind == "segm"
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = IMAGES.coco()
        truth.createIndex()
        found = truth.loadRes(str(tmp_path / "found.json"))
    first, second = found.loadAnns(found.getAnnIds(97))
    # Masks of 4 x 4 cells have rounded corners.
    assert second["area"] == pytest.approx(40 * 30, rel=0.05)
    assert (first["category_id"], first["score"]) == (9, 0.75)


def test_no_results_are_an_empty_list(tmp_path):
    write_results(tmp_path / "found.json", [], kind="bbox")
    assert json.loads((tmp_path / "found.json").read_text()) == []
