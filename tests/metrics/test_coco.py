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
def test_detections_may_be_as_many_as_a_set_of_images_has(kind):
    images = 70
    objects = truth(*((1 + n, 1, SQUARE) for n in range(images)), images=images)
    found = [
        detection(1 + n, 1, SQUARE, score)
        for n in range(images)
        for score in (0.9, 0.5, 0.4, 0.3, 0.2)
    ]
    numbers = average_precision(objects, found, kind=kind).numbers
    assert numbers["ap"] == pytest.approx(1)


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
CODE = GOOD["segmentation"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 7}, r"`detections\[1\]\['image_id'\]` must be an id .* got 7"),
        ({"image_id": [1]}, r"\['image_id'\]` must be an id in `truth`, got \[1\]"),
        ({"category_id": 9}, r"\[1\]\['category_id'\]` must be an id .* got 9"),
        ({"score": math.nan}, r"\['score'\]` must be finite, got nan"),
        ({"score": "0.5"}, r"\['score'\]` must be finite, got '0.5'"),
        ({"score": None}, r"\['score'\]` must be finite, got None"),
        ({"bbox": [0, 0, -1, 5]}, r"\['bbox'\]` must be x, y, .* got \[0, 0, -1, 5\]"),
        ({"bbox": [0, 0, 5]}, r"\['bbox'\]` must be x, y, width and height, .*"),
        ({"bbox": None}, r"\['bbox'\]` must be x, y, width and height, .* got None"),
    ],
)
def test_invalid_detections_are_refused(change, message):
    found = [GOOD, {**GOOD, **change}]
    with pytest.raises(RefusedError, match=message):
        average_precision(truth((1, 1, SQUARE)), found, kind="bbox")


def test_detections_without_a_field_are_refused():
    found = [{name: x for name, x in GOOD.items() if name != "bbox"}]
    with pytest.raises(RefusedError, match=r"keys .* got none for bbox"):
        average_precision(truth(), found, kind="bbox")
    with pytest.raises(RefusedError, match=r"`detections\[0\]` must be a dict, got '"):
        average_precision(truth(), ["image"], kind="bbox")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({**CODE, "size": [SIDE, 100]}, r"size of its image, .* got \[200, 100\]"),
        ({**CODE, "size": [SIDE]}, r"have the size of its image, .* got \[200\]"),
        ({**CODE, "counts": CODE["counts"][:-3]}, "runs that are complete and fill"),
        ({**CODE, "counts": [5, 5]}, r"runs that are complete .* got \[5, 5\]"),
        ({**CODE, "counts": 3}, "must be bytes, ASCII or a list, got 3"),
        ({"size": [SIDE, SIDE]}, "keys size, counts, got none for counts"),
        ({**CODE, "size": None}, r"have the size of its image, .* got None"),
        (None, "must be a run-length code, got None"),
        ([[0, 0, 9, 0, 9, 9]], "must be a run-length code, got "),
    ],
)
def test_masks_that_do_not_fill_their_image_are_refused(code, message):
    objects = truth((1, 1, SQUARE))
    with pytest.raises(RefusedError, match=r"`detections\[0\].*" + message):
        average_precision(objects, [{**GOOD, "segmentation": code}], kind="segm")
    if isinstance(code, dict):
        objects["annotations"][0]["segmentation"] = code
        with pytest.raises(RefusedError, match=r"`truth\['annotations'\]\[0\].*"):
            average_precision(objects, [], kind="segm")


@pytest.mark.parametrize(
    "polygon",
    [[0, 0, 9, 9], [0, 0, 9, 0, 9, math.nan], [0, 0, 9, 0, 9, 1e7], ["a"] * 6],
)
def test_polygons_that_are_none_are_refused(polygon):
    objects = truth((1, 1, SQUARE, {"segmentation": [polygon]}))
    with pytest.raises(RefusedError, match=r"segmentation'\]\[0\]` must be x and y of"):
        average_precision(objects, [], kind="segm")


def test_masks_may_be_lists_text_and_polygons():
    left, top, width, height = (round(x) for x in SQUARE)
    runs = [left * SIDE + top, *[height, SIDE - height] * (width - 1), height]
    runs.append(SIDE * SIDE - sum(runs))
    corners = [left, top, left + width, top, left + width, top + height, left]
    for form in (
        {**CODE, "counts": CODE["counts"].decode()},
        {**CODE, "counts": runs},
        [[*corners, top + height]],
    ):
        objects = truth((1, 1, SQUARE, {"segmentation": form}))
        own = CODE if isinstance(form, list) else form
        found = [{**GOOD, "segmentation": own}]
        numbers = average_precision(objects, found, kind="segm").numbers
        assert numbers["ap"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("images", {"id": 1}, r"one entry for each id, got 2 for 1"),
        ("categories", {"id": 1}, r"one entry for each id, got 2 for 1"),
        ("annotations", {"id": 0}, r"one entry for each id, got 2 for 0"),
        ("images", {"id": "a"}, r"\[1\]\['id'\]` must be an integer, got 'a'"),
        ("categories", {}, "keys id, got none for id"),
        ("images", 3, r"`truth\['images'\]\[1\]` must be a dict, got 3"),
        ("annotations", {"image_id": 7}, r"\['image_id'\]` must be an id .* got 7"),
        ("annotations", {"category_id": 7}, r"category_id'\]` must be an id .* got 7"),
        ("annotations", {"bbox": [1, 2, 3]}, r"\['bbox'\]` must be x, y, width and"),
        ("annotations", {"area": math.nan}, r"\['area'\]` must be finite and not"),
        ("annotations", {"iscrowd": "x"}, r"\['iscrowd'\]` must be 0 or 1, got 'x'"),
    ],
)
def test_invalid_truth_is_refused(name, entry, message):
    objects = truth((1, 1, SQUARE))
    if name == "annotations":
        entry = {**objects[name][0], "id": 1, **entry}
    objects[name].append(entry)
    with pytest.raises(RefusedError, match=message):
        average_precision(objects, [GOOD], kind="bbox")


def test_numbers_of_numpy_are_taken_and_iterators_read_once():
    box = np.array(SQUARE, np.float32)
    found = {**GOOD, "bbox": box, "score": np.float32(0.5), "image_id": np.int64(1)}
    numbers = average_precision(
        truth((1, 1, SQUARE)),
        iter([found]),
        kind="bbox",
        max_detections=np.array([1, 100]),
    ).numbers
    assert numbers["ap"] == pytest.approx(1)


@pytest.mark.parametrize("limits", [(), (0, 10), (10, 1), (5, 5), (1.5,), 100])
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
