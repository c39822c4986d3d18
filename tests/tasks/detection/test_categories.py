"""Classes of a detector."""

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection import Categories
from carafe_jax.tasks.detection.categories import CATEGORIES_FILE
from carafe_jax.tasks.detection.coco_classes import coco_categories

OWN = Categories(("red", "blue[x]"), (3, 7))


def test_a_resumed_run_must_have_the_same_ids(tmp_path):
    CATEGORIES_FILE.claim(tmp_path, OWN)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    words = r"2 classes \(3 red, 7 blue\[x\]\) of the run, got 2 classes \(3 red, 8 bl"
    with pytest.raises(RefusedError, match=words):
        CATEGORIES_FILE.claim(tmp_path, OWN._replace(ids=(3, 8)))


def test_classes_of_coco_have_its_ids():
    classes = coco_categories()
    by_id = dict(zip(classes.ids, classes.names, strict=True))
    assert len(by_id) == 80
    assert (by_id[1], by_id[13], by_id[67], by_id[90]) == (
        "person",
        "stop sign",
        "dining table",
        "toothbrush",
    )
