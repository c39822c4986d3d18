"""Classes of a run in its folder, for each task."""

import json

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.classes import CLASSES_FILE
from carafe_jax.tasks.detection import Categories
from carafe_jax.tasks.detection.categories import CATEGORIES_FILE
from carafe_jax.tasks.segmentation import LabelClasses
from carafe_jax.tasks.segmentation.label_classes import LABEL_CLASSES_FILE

NAMES, OTHERS = ("red", "blue[x]"), ("red", "green")
COLOURS = ((255, 0, 0), (0, 0, 255))
STORED = {
    CLASSES_FILE: (NAMES, ["red", "blue[x]"]),
    CATEGORIES_FILE: (
        Categories(NAMES, (3, 7)),
        [{"id": 3, "name": "red"}, {"id": 7, "name": "blue[x]"}],
    ),
    LABEL_CLASSES_FILE: (
        LabelClasses(NAMES, COLOURS),
        [
            {"name": "red", "colour": [255, 0, 0]},
            {"name": "blue[x]", "colour": [0, 0, 255]},
        ],
    ),
}
CHANGED = {
    CLASSES_FILE: OTHERS,
    CATEGORIES_FILE: Categories(OTHERS, (3, 7)),
    LABEL_CLASSES_FILE: LabelClasses(OTHERS, COLOURS),
}
every_task = pytest.mark.parametrize("file", STORED, ids=lambda file: file.task)


def resumable(folder):
    (folder / "checkpoints" / "4").mkdir(parents=True)
    return folder


@every_task
def test_classes_are_stored_in_the_form_of_the_task(tmp_path, file):
    classes, entries = STORED[file]
    file.claim(tmp_path / "run", classes)
    assert json.loads((tmp_path / "run" / file.name).read_text()) == entries
    assert file.read(tmp_path / "run") == classes


@every_task
def test_resumed_run_must_have_the_same_classes(tmp_path, file):
    classes, _ = STORED[file]
    file.claim(tmp_path, classes)
    file.claim(resumable(tmp_path), classes)
    words = r"`data.source` must have the 2 classes \(.*blue\[x\]\) of the run, got 2 c"
    with pytest.raises(RefusedError, match=words):
        file.claim(tmp_path, CHANGED[file])
    assert file.read(tmp_path) == classes


def test_colours_of_a_resumed_run_may_change(tmp_path):
    LABEL_CLASSES_FILE.claim(tmp_path, LabelClasses(NAMES, COLOURS))
    LABEL_CLASSES_FILE.claim(resumable(tmp_path), LabelClasses(NAMES, COLOURS[::-1]))
    assert LABEL_CLASSES_FILE.read(tmp_path).palette == COLOURS


@every_task
def test_run_without_checkpoints_starts_with_other_classes(tmp_path, file):
    file.claim(tmp_path, STORED[file][0])
    file.claim(tmp_path, CHANGED[file])
    assert file.read(tmp_path) == CHANGED[file]


@every_task
def test_file_that_was_deleted_is_written_again(tmp_path, file):
    classes, _ = STORED[file]
    file.claim(resumable(tmp_path), classes)
    assert file.read(tmp_path) == classes


@every_task
@pytest.mark.parametrize("content", ["", "1", "[1]", '[{"id": "x", "name": 1}]'])
def test_damaged_file_is_refused(tmp_path, file, content):
    (tmp_path / file.name).write_text(content)
    with pytest.raises(RefusedError, match=r"json is damaged: it must be a list of"):
        file.read(tmp_path)


@every_task
def test_folder_of_another_task_is_refused(tmp_path, file):
    words = f"`model` must be the folder of a {file.task} run, with {file.name}, got"
    with pytest.raises(RefusedError, match=words):
        file.read(tmp_path)


def test_many_classes_are_abridged_in_errors(tmp_path):
    CLASSES_FILE.claim(tmp_path, tuple("abcd"))
    words = r"the 4 classes \(a, b, c, \.\.\.\) of the run, got 1 class \(a\)"
    with pytest.raises(RefusedError, match=words):
        CLASSES_FILE.claim(resumable(tmp_path), ("a",))
