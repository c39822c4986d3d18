"""Evaluation of a function that labels pixels by their place."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from carafe_jax.errors import RefusedError
from carafe_jax.metrics import confusion_matrix, segmentation_quality
from carafe_jax.tasks.segmentation import SegmentationData, SegmentationDataset
from carafe_jax.tasks.segmentation import evaluator as module
from carafe_jax.tasks.segmentation.evaluator import SegmentationEvaluator
from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.train import Evaluator, SupportsPictures, TrainState
from tests.tasks.segmentation.drawn_folder import CLASSES, drawn_folder

COLOURS = LabelClasses(CLASSES, ((0, 0, 250), (0, 250, 0), (250, 0, 0), (9, 9, 9)))


def labels_at(rows: Any, columns: Any, index: Any) -> Any:
    """Return the labels of a photograph, of three of the four classes."""
    return (rows // 7 + columns // 5 + index) % 3


def predict(variables, batch):
    height, width = batch["label"].shape[1:]
    index = jnp.asarray(batch["index"])[:, None, None]
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)
    return labels_at(rows, columns, index).astype(jnp.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder with photographs of three sizes."""
    root = drawn_folder(tmp_path / "pictures", val=4)
    for index, size in enumerate([(30, 40), (66, 35)]):
        other = drawn_folder(tmp_path / str(index), val=2, size=size)
        for kind in ("images", "labels"):
            for path in (other / "val" / kind).iterdir():
                path.rename(root / "val" / kind / f"{index}_{path.name}")
    return root


def dataset_of(folder, *, batch_size=3):
    data = SegmentationData(
        source=str(folder),
        batch_size=batch_size,
        short_sides=(32,),
        test_short_side=32,
        long_side=64,
        read_threads=0,
    )
    return SegmentationDataset(data)


def state(step=0):
    made = TrainState.create(
        apply_fn=predict,
        params={},
        tx=optax.sgd(0.1),
        collections={},
        average=None,
    )
    return made.replace(step=jnp.int32(step))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_numbers_are_those_of_one_confusion_matrix_at_the_photographs_size(
    folder, batch_size
):
    dataset = dataset_of(folder, batch_size=batch_size)
    evaluator = SegmentationEvaluator(predict, dataset, classes=COLOURS)
    assert isinstance(evaluator, Evaluator)
    assert isinstance(evaluator, SupportsPictures)
    images = dataset.held_out
    total = np.zeros((4, 4), np.int64)
    for index in range(len(images)):
        _, labels = images.open(index)
        rows, columns = np.indices(labels.shape)
        total += confusion_matrix(labels, labels_at(rows, columns, index), classes=4)
    expected = segmentation_quality(total)
    found = evaluator.measure_state(state())
    assert repr(found) == repr(expected)
    assert found.absent.tolist() == [False, False, False, True]
    assert evaluator.evaluate(state()) == expected.numbers
    assert len(images) == 8


def test_unreadable_photographs_are_left_out(folder):
    images = folder / "val" / "images"
    every = SegmentationEvaluator(predict, dataset_of(folder), classes=COLOURS)
    pixels = every.measure_state(state()).counted
    (images / "0_0.png").write_bytes((images / "0_0.png").read_bytes()[:-200])
    dataset = dataset_of(folder)
    evaluator = SegmentationEvaluator(predict, dataset, classes=COLOURS)
    # The lowest three of 30 rows have no label.
    assert evaluator.measure_state(state()).counted == pixels - 27 * 40
    assert evaluator.draw(state())["samples"].ndim == 3


def test_photographs_spread_over_the_test_set_are_drawn(folder, monkeypatch):
    drawn = []

    def draw_samples(images, predicted, classes):
        drawn.append(predicted)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(module, "draw_samples", draw_samples)
    dataset = dataset_of(folder)
    module.SegmentationEvaluator(predict, dataset, classes=COLOURS).draw(state())
    (predicted,) = drawn
    assert [*predicted] == [0, 2, 4, 7]
    for index, labels in predicted.items():
        height, width = dataset.held_out.size(index)
        rows, columns = np.indices((height, width))
        expected = labels_at(rows, columns, index)
        np.testing.assert_array_equal(labels[:height, :width], expected)


def test_test_set_without_labelled_pixels_is_refused(folder):
    for path in (folder / "val" / "labels").iterdir():
        with Image.open(path) as labels:
            Image.new("L", labels.size, 255).save(path)
    evaluator = SegmentationEvaluator(predict, dataset_of(folder), classes=COLOURS)
    with pytest.raises(RefusedError, match="that can be read, with pixels that are no"):
        evaluator.evaluate(state())
