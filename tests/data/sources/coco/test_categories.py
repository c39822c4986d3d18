"""Classes of the training file, and those of a test file with other ids."""

import pytest

from carafe_jax.data import open_annotated_images
from carafe_jax.errors import RefusedError
from tests.data.sources.coco.files import (
    annotation,
    content,
    found,
    open_train,
    write_split,
)


def open_test(root, categories, *, classes=None, category=1):
    entries = content(categories=categories)
    entries["annotations"] = [annotation(1, category_id=category)]
    write_split(root, content())
    write_split(root, entries, split="val")
    return open_annotated_images(str(root), split="test", classes=classes)


def named(*names):
    return [{"id": number, "name": name} for number, name in names]


def test_classes_are_in_ascending_order_of_their_ids(tmp_path):
    images = open_train(write_split(tmp_path, content([annotation(7, category_id=3)])))
    assert images.classes == ("cat", "owl")
    assert images.category_ids == (1, 3)
    assert images.objects(0).classes.tolist() == [0, 1]
    categories = images.coco()["categories"]
    assert categories == [{"id": 1, "name": "cat"}, {"id": 3, "name": "owl"}]


@pytest.mark.parametrize("classes", [None, ("cat", "owl")])
def test_classes_of_the_test_set_are_matched_by_name(tmp_path, classes):
    images = open_test(tmp_path, named((1, "owl"), (7, "cat")), classes=classes)
    assert images.classes == ("cat", "owl")
    assert images.category_ids == (7, 1)
    assert images.objects(0).classes.tolist() == [1]
    assert images.coco()["annotations"][0]["category_id"] == 1


def test_class_that_the_test_file_lacks_gets_a_free_id(tmp_path):
    images = open_test(tmp_path, named((1, "owl"), (5, "unused")))
    assert images.classes == ("cat", "owl")
    assert images.category_ids == (6, 1)


def test_class_that_is_only_tested_is_refused(tmp_path):
    message = r"instances_val.json': `categories`: .*\('cat', 'owl'\).* got 'moon'"
    with pytest.raises(RefusedError, match=message):
        open_test(tmp_path, named((1, "moon"), (2, "cat")))


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "`categories`: must hold at least one, got none"),
        ([{"name": "cat"}], r"categories\[0\]: `id` must be an integer, got None"),
        ([{"id": 1, "name": 5}], r"categories\[0\]: `name` must be a string, got 5"),
        (named((1, "cat"), (4, "")), "category 4: `name` must not be blank, got ''"),
        (named((1, "cat"), (4, " \t")), r"category 4: `name` must not be blank, got '"),
        (
            named((1, "cat"), (1, "owl")),
            "category 1: its id must be its own, got 'cat'",
        ),
        (named((1, "cat"), (3, "cat")), "with objects must not have one name, .* 1, 3"),
    ],
)
def test_damaged_categories_are_refused(tmp_path, categories, message):
    entries = content([annotation(7, category_id=3)], categories=categories)
    with pytest.raises(RefusedError, match=message):
        open_train(write_split(tmp_path, entries))


def test_unused_category_of_a_repeated_name_is_dropped(tmp_path):
    categories = named((0, "cat"), (1, "cat"), (2, "owl"))
    images = open_train(write_split(tmp_path, content(categories=categories)))
    assert images.classes == ("cat", "owl")
    assert images.category_ids == (1, 2)
    assert "1 category with the name of another" in found(images)["dropped"]
    assert "cat (0)" in found(images)["dropped"]
