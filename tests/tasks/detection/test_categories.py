"""Classes of a run in its folder."""

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection import Categories
from carafe_jax.tasks.detection.categories import claim_categories, read_categories
from carafe_jax.tasks.detection.coco_classes import coco_categories

OWN = Categories(("red", "blue[x]"), (3, 7))


def resumable(folder):
    (folder / "checkpoints" / "4").mkdir(parents=True)
    return folder


def test_names_and_ids_are_read_as_they_were_written(tmp_path):
    claim_categories(tmp_path / "run", OWN)
    assert read_categories(tmp_path / "run") == OWN


def test_resumed_run_must_have_the_same_classes(tmp_path):
    claim_categories(tmp_path, OWN)
    resumable(tmp_path)
    claim_categories(tmp_path, OWN)
    other = OWN._replace(ids=(3, 8))
    words = r"2 classes \(3 red, 7 blue\[x\]\) of the run, got 2 classes \(3 red, 8 bl"
    with pytest.raises(RefusedError, match=words):
        claim_categories(tmp_path, other)
    assert read_categories(tmp_path) == OWN


def test_file_that_was_deleted_is_written_again(tmp_path):
    claim_categories(resumable(tmp_path), OWN)
    assert read_categories(tmp_path) == OWN


@pytest.mark.parametrize(
    "content", ["", "[1]", '[{"id": 1}]', '[{"id": "x", "name": 1}]']
)
def test_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "categories.json").write_text(content)
    with pytest.raises(RefusedError, match=r"categories\.json is damaged"):
        read_categories(tmp_path)


def test_folder_of_another_task_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="`model` must be the folder of a detection"):
        read_categories(tmp_path)


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
