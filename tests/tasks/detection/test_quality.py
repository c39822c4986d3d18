"""Quality of detections of a test set, over all classes and of each."""

import csv
import math

import pytest
from rich.console import Console

from carafe_jax.errors import RefusedError
from carafe_jax.models.detection import DetectorConfig
from carafe_jax.tasks.detection.quality import (
    COLUMNS,
    best_of_each,
    measure_results,
    recall_limits,
    write_per_class,
)
from carafe_jax.tasks.tables import draw_table
from tests.tasks.detection.small_set import CROWDED, SmallSet


def perfect(images, *, score=0.9):
    """Return the objects of a test set as detections."""
    found = {
        index: [] for index in range(len(images)) if index not in images.unreadable
    }
    indices = {images.image_id(index): index for index in range(len(images))}
    for x in images.coco()["annotations"]:
        if (index := indices[x["image_id"]]) in found and not x["iscrowd"]:
            names = ("image_id", "category_id", "bbox", "segmentation")
            found[index].append({name: x[name] for name in names} | {"score": score})
    return found


def test_true_objects_score_one():
    measured = measure_results(perfect(SmallSet()), SmallSet(), masks=True)
    numbers = measured.numbers
    assert {*COLUMNS} <= {*numbers}
    assert numbers["box_ap"] == pytest.approx(1)
    assert numbers["mask_ap"] == pytest.approx(1)
    # There is no large object.
    assert not [name for name in numbers if name.endswith("large")]
    assert measured.images == 5


def test_detectors_without_masks_have_numbers_of_boxes_alone():
    measured = measure_results(perfect(SmallSet()), SmallSet(), masks=False)
    assert {name.partition("_")[0] for name in measured.numbers} == {"box"}


def test_unreadable_photographs_are_left_out_with_their_objects():
    images = SmallSet(unreadable=(0, CROWDED))
    measured = measure_results(perfect(images), images, masks=False)
    assert measured.numbers["box_ap"] == pytest.approx(1)
    assert measured.images == 3
    assert [row.objects for row in measured.per_class] == [2, 2, 0]


def test_classes_are_measured_apart(tmp_path):
    found = perfect(SmallSet())
    squares = {
        index: [x for x in detections if x["category_id"] == 3]
        for index, detections in found.items()
    }
    measured = measure_results(squares, SmallSet(), masks=True)
    assert measured.numbers["box_ap"] == pytest.approx(0.5)
    write_per_class(tmp_path / "per_class.csv", {"network": measured})
    with (tmp_path / "per_class.csv").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert [*rows] == ["square", "bar", "ring"]
    assert [row["objects"] for row in rows.values()] == ["4", "3", "0"]
    assert [row["category_id"] for row in rows.values()] == ["3", "5", "9"]
    assert float(rows["square"]["mask_ap"]) == pytest.approx(1)
    assert float(rows["bar"]["box_ap50"]) == 0
    numbers = [value for name, value in rows["ring"].items() if "_ap" in name]
    assert set(numbers) == {""}


def test_order_of_the_photographs_does_not_matter():
    found = perfect(SmallSet())
    wrong = {**found[0][0], "bbox": [50.0, 1.0, 9.0, 9.0], "score": 0.95}
    found[0].append(wrong)
    backwards = dict(reversed(found.items()))
    numbers, turned = (
        measure_results(each, SmallSet(), masks=True).numbers
        for each in (found, backwards)
    )
    assert numbers == turned
    assert 0 < numbers["box_ap"] < 1


def test_best_detections_of_each_photograph_are_kept():
    found = perfect(SmallSet())
    found[0] = [
        {**x, "score": score} for x, score in zip(found[0], (0.2, 0.6), strict=True)
    ]
    best = best_of_each(found, 1)
    assert [x["score"] for x in best[0]] == [0.6]
    assert {len(x) for x in best.values()} == {0, 1}


@pytest.mark.parametrize(
    ("count", "limits"),
    [(100, (1, 10, 100)), (300, (1, 10, 300)), (5, (1, 5)), (1, (1,))],
)
def test_recalls_go_up_to_the_number_of_detections(count, limits):
    assert recall_limits(count) == limits


def test_test_set_without_readable_photographs_is_refused():
    with pytest.raises(RefusedError, match="an example that can be read, got none"):
        measure_results({}, SmallSet(), masks=False)


def test_test_set_without_objects_is_refused():
    images = SmallSet(sizes=((40, 40), (40, 40), (40, 40)), unreadable=(0, 1))
    with pytest.raises(RefusedError, match=r"must have objects, .* in 1 photographs"):
        measure_results({2: []}, images, masks=False)


def test_numbers_without_objects_are_nan_in_a_class():
    measured = measure_results(perfect(SmallSet()), SmallSet(), masks=False)
    ring = measured.per_class[2]
    assert ring.name == "ring"
    assert all(math.isnan(value) for value in ring.numbers.values())


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_table_of_a_network_fits_eighty_columns_in_few_lines(detector):
    name = DetectorConfig(detector=detector, depth=101, downsampler="carafe").name
    regions = ("box", "mask") if detector == "mask_rcnn" else ("box",)
    row = {f"{x}_{y}": 0.5 for x in regions for y in ("ap", "ap50", "ap75")}
    console = Console(record=True, width=80)
    console.print(draw_table({name: row}, COLUMNS, title="", label="network"))
    lines = [x.split("│") for x in console.export_text().splitlines() if "│" in x]
    shown = [line[1].strip() for line in lines]
    # Broken at spaces alone.
    assert " ".join(shown) == name
    assert len(shown) <= 3
    assert {x.strip() for line in lines for x in line[2:-1]} <= {"", "0.500"}
