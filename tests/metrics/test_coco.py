"""COCO's average precision: hand-made cases, and pycocotools."""

import contextlib
import copy
import io
import math
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from carafe_jax.errors import RefusedError
from carafe_jax.metrics import average_precision

SIDE = 200
SQUARE = [10.0, 20.0, 100.0, 100.0]


def rle(box):
    left, top, width, height = (round(value) for value in box)
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[top : top + height, left : left + width] = 1
    return masks.encode(mask)


def truth(*objects, images=1, classes=1):
    """Return COCO's form of objects, (image, class, box) or with changes."""
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "segmentation": rle(box),
            **(changes[0] if changes else {}),
        }
        # The first id is 0, which pycocotools takes for "no match".
        for number, (image, category, box, *changes) in enumerate(objects)
    ]
    return {
        "images": [
            {"id": number, "height": SIDE, "width": SIDE}
            for number in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": f"class {number}"}
            for number in range(1, classes + 1)
        ],
    }


def detection(image, category, box, score=0.5):
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [*box],
        "score": score,
        "segmentation": rle(box),
    }


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_iou_counts_at_the_thresholds_that_it_reaches(kind):
    found = [detection(1, 1, [*SQUARE[:3], 62])]  # IoU 0.62.
    numbers = average_precision(truth((1, 1, SQUARE)), found, kind=kind).numbers
    assert numbers["ap50"] == pytest.approx(1)
    assert numbers["ap75"] == 0
    # 0.50, 0.55 and 0.60 of ten thresholds.
    assert numbers["ap"] == pytest.approx(0.3)
    assert numbers["ar1"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("right", "wrong", "expected"), [(0.9, 0.8, 1), (0.8, 0.9, 0.5)]
)
def test_wrong_detections_count_by_their_rank(right, wrong, expected):
    elsewhere = detection(1, 1, [150, 150, 40, 40], wrong)
    found = [detection(1, 1, SQUARE, right), elsewhere]
    numbers = average_precision(truth((1, 1, SQUARE)), found, kind="bbox").numbers
    assert numbers["ap"] == pytest.approx(expected)
    assert numbers["ar1"] == (1 if right > wrong else 0)
    assert numbers["ar10"] == 1


def test_second_detection_of_an_object_is_wrong():
    found = [detection(1, 1, SQUARE, score) for score in (0.9, 0.8)]
    objects = truth((1, 1, SQUARE), (2, 1, SQUARE), images=2)
    found.append(detection(2, 1, SQUARE, 0.7))
    numbers = average_precision(objects, found, kind="bbox").numbers
    # Precision 1 up to recall 1/2, then 2/3: 51 and 50 of 101 recalls.
    assert numbers["ap"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_missed_objects_lower_the_recall():
    objects = truth((1, 1, SQUARE), (1, 1, [150, 150, 40, 40]))
    found = [detection(1, 1, SQUARE)]
    numbers = average_precision(objects, found, kind="bbox").numbers
    assert numbers["ap"] == pytest.approx(51 / 101)
    assert numbers["ar100"] == 0.5


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_detections_in_a_crowd_do_not_count(kind):
    crowd = (1, 1, [120.0, 0.0, 80.0, 80.0], {"iscrowd": 1})
    found = [
        detection(1, 1, [120, 0, 20, 20], 0.9),
        detection(1, 1, [160, 30, 20, 20], 0.9),
        detection(1, 1, SQUARE, 0.5),
    ]
    result = average_precision(truth((1, 1, SQUARE), crowd), found, kind=kind)
    assert result.numbers["ap"] == pytest.approx(1)


def test_sizes_are_measured_apart():
    small, medium, large = [0, 0, 20, 20], [30, 30, 50, 50], [90, 90, 100, 100]
    objects = truth((1, 1, small), (1, 1, medium), (1, 1, large))
    found = [detection(1, 1, small), detection(1, 1, large)]
    numbers = average_precision(objects, found, kind="bbox").numbers
    sizes = {name: numbers[f"ap_{name}"] for name in ("small", "medium", "large")}
    assert sizes == pytest.approx({"small": 1, "medium": 0, "large": 1})
    assert [numbers[f"ar_{name}"] for name in sizes] == [1, 0, 1]


def test_size_of_a_detected_mask_is_its_own_area():
    # A wrong mask is large, its box small: it does not lower the AP of small objects.
    small = [0.0, 0.0, 20.0, 20.0]
    wrong = {**detection(1, 1, SQUARE, 0.9), "bbox": [50, 50, 5, 5]}
    found = [wrong, detection(1, 1, small, 0.5)]
    numbers = average_precision(truth((1, 1, small)), found, kind="segm").numbers
    assert numbers["ap_small"] == pytest.approx(1)
    assert numbers["ap"] == pytest.approx(0.5)


def test_classes_without_objects_are_in_no_mean():
    objects = truth((1, 2, SQUARE), classes=3)
    found = [detection(1, 2, SQUARE), detection(1, 3, SQUARE)]
    result = average_precision(objects, found, kind="bbox")
    assert result.numbers["ap"] == pytest.approx(1)
    assert math.isnan(result.numbers["ap_small"])
    assert [*result.per_class] == [1, 2, 3]
    assert result.per_class[2]["ap"] == pytest.approx(1)
    assert math.isnan(result.per_class[1]["ap"])
    assert math.isnan(result.per_class[3]["ar100"])


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_no_detections_score_zero(kind):
    numbers = average_precision(truth((1, 1, SQUARE)), [], kind=kind).numbers
    assert len(numbers) == 12
    present = {name: x for name, x in numbers.items() if not math.isnan(x)}
    assert set(present.values()) == {0}
    assert len(present) == 8  # Without small and medium objects.


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_truth_without_objects_has_no_numbers(kind):
    found = [detection(1, 1, SQUARE)]
    for detections in (found, []):
        result = average_precision(truth(), detections, kind=kind)
        assert all(map(math.isnan, result.numbers.values()))


def test_only_the_best_detections_of_an_image_count():
    boxes = [[x, 0.0, 30.0, 30.0] for x in (0.0, 40.0, 80.0, 120.0)]
    objects = truth(*((1, 1, box) for box in boxes))
    found = [detection(1, 1, box, 0.1 * n) for n, box in enumerate(boxes, 1)]
    result = average_precision(objects, found, kind="bbox", max_detections=(1, 3))
    assert result.numbers["ar1"] == 0.25
    assert result.numbers["ar3"] == 0.75
    assert result.numbers["ap"] == pytest.approx(76 / 101)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_truth_as_detections_scores_one(kind):
    objects = random_truth(np.random.default_rng(0))
    found = [{**x, "score": 1.0} for x in objects["annotations"] if not x["iscrowd"]]
    numbers = average_precision(objects, found, kind=kind).numbers
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ar100", "ar_medium")
    assert [numbers[name] for name in names] == pytest.approx([1.0] * len(names))


def random_truth(rng):
    objects = []
    for image in range(1, 9):
        for _ in range(rng.integers(0, 12)):
            width, height = rng.integers(5, 80, 2)
            corner = rng.uniform(0, SIDE - 80, 2).round()
            box = [*corner.tolist(), float(width), float(height)]
            crowd = {"iscrowd": int(rng.random() < 0.1)}
            objects.append((image, int(rng.integers(1, 4)), box, crowd))
    return truth(*objects, images=8, classes=4)


def random_detections(rng, objects):
    """Return shaken objects with wrong classes, and boxes of no object."""
    found = []
    for annotation in objects["annotations"] * 2:
        box = np.array(annotation["bbox"]) + rng.integers(-6, 7, 4)
        box = np.maximum(box, [0, 0, 1, 1])
        category = annotation["category_id"] if rng.random() < 0.8 else 4
        # Few different scores: ties are ordered as pycocotools does.
        score = round(float(rng.random()), 1)
        found.append(detection(annotation["image_id"], category, box.tolist(), score))
    return found


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", [1, 2])
def test_numbers_are_those_of_pycocotools(kind, seed):
    rng = np.random.default_rng(seed)
    objects = random_truth(rng)
    found = random_detections(rng, objects)
    numbers = average_precision(objects, found, kind=kind).numbers
    expected = reference(objects, found, kind)
    assert 0 < expected[0] < 1
    actual = np.nan_to_num([*numbers.values()], nan=-1)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def reference(objects, found, kind):
    """Return the twelve numbers of pycocotools."""
    if kind == "segm":
        found = [{k: v for k, v in x.items() if k != "bbox"} for x in found]
    with contextlib.redirect_stdout(io.StringIO()):
        known: Any = COCO()
        known.dataset = copy.deepcopy(objects)
        for number, annotation in enumerate(known.dataset["annotations"], 1):
            annotation["id"] = number
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(copy.deepcopy(found)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_nothing_is_printed_or_changed(capsys):
    objects = random_truth(np.random.default_rng(0))
    found = random_detections(np.random.default_rng(0), objects)
    before = copy.deepcopy((objects, found))
    average_precision(objects, found, kind="segm")
    assert capsys.readouterr() == ("", "")
    assert (objects, found) == before


GOOD = detection(1, 1, SQUARE)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({**GOOD, "image_id": 7}, r"`detections\[1\]\['image_id'\]` must be .* 7"),
        ({**GOOD, "category_id": 9}, r"\[1\]\['category_id'\]` must be .* 9"),
        ({**GOOD, "score": math.nan}, r"scores .* be finite, got \[nan\] of .*\[1\]"),
        ({**GOOD, "bbox": [0, 0, -1, 5]}, r"boxes .* got \[0.0, 0.0, -1.0, 5.0\]"),
        ({"image_id": 1, "category_id": 1, "score": 1.0}, "keys .* got none for bbox"),
    ],
)
def test_invalid_detections_are_refused(found, message):
    with pytest.raises(RefusedError, match=message):
        average_precision(truth((1, 1, SQUARE)), [GOOD, found], kind="bbox")


@pytest.mark.parametrize("limits", [(), (0, 10), (10, 1), (5, 5), (1.5,)])
def test_invalid_limits_are_refused(limits):
    with pytest.raises(RefusedError, match=r"`max_detections` must be ascending"):
        average_precision(truth(), [], kind="bbox", max_detections=limits)


def test_truth_without_masks_is_refused_for_masks():
    objects = truth((1, 1, SQUARE, {"segmentation": []}))
    assert average_precision(objects, [GOOD], kind="bbox").numbers["ap"] > 0.99
    with pytest.raises(RefusedError, match="a segmentation of each annotation"):
        average_precision(objects, [GOOD], kind="segm")
    with pytest.raises(RefusedError, match="got none for images and categories"):
        average_precision({"annotations": []}, [], kind="bbox")
