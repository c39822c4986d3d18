"""IoU and accuracy, against CSAIL's and mmsegmentation's numbers."""

import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.metrics import confusion_matrix, segmentation_quality
from tests.nn.torch_goldens import load


def test_scores_are_those_of_csail_and_of_mmsegmentation():
    golden = load("miou")
    matrices = [
        confusion_matrix(
            golden[f"label/{i}"].astype(int), golden[f"pred/{i}"].astype(int), classes=7
        )
        for i in range(3)
    ]
    quality = segmentation_quality(np.sum(matrices, 0))
    np.testing.assert_allclose(quality.iou, golden["csail/IoU"], rtol=1e-9)
    assert quality.mean_iou == pytest.approx(golden["csail/mIoU"], rel=1e-9)
    expected = float(golden["mmseg/mIoU_nanmean"])
    # mmsegmentation computes in float32 and rounds its results to two decimals.
    assert quality.mean_iou_of_present == pytest.approx(expected, rel=1e-4)
    assert quality.pixel_accuracy == pytest.approx(
        float(golden["mmseg/aAcc"]), rel=1e-4
    )


def test_absent_classes_are_zero_in_one_mean_and_left_out_of_the_other():
    golden = load("miou_absent")
    label, predicted = (golden[name].astype(int) for name in ("label", "pred"))
    quality = segmentation_quality(confusion_matrix(label, predicted, classes=4))
    assert quality.absent.any()
    assert quality.mean_iou == pytest.approx(float(golden["csail_mIoU"]), rel=1e-6)
    expected = float(golden["mmseg_mIoU"])
    assert quality.mean_iou_of_present == pytest.approx(expected, rel=1e-6)


def test_matrix_counts_pairs_and_leaves_ignored_pixels_out():
    labels = np.array([[0, 1, 1], [2, 255, 255]], np.uint8)
    predicted = np.array([[0, 2, 1], [2, 0, 1]], np.uint8)
    matrix = confusion_matrix(labels, predicted, classes=3)
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert matrix.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "predicted", "words"),
    [
        ([0, 3], [0, 1], "`labels` must be classes below 3, or ignored, got 3"),
        ([0, 1], [0, -1], "`predicted` must be classes below 3, .*got -1"),
        ([0, 1], np.array([0, 2**64 - 1], np.uint64), f"got {2**64 - 1}"),
        ([0, 1], [0], r"`predicted` must have the shape of `labels`, \(2,\)"),
        ([0, 1], [0.0, 1.0], "`predicted` must be ints, got float64"),
    ],
)
def test_what_are_no_classes_is_refused(labels, predicted, words):
    with pytest.raises(RefusedError, match=words):
        confusion_matrix(np.array(labels), np.array(predicted), classes=3)


def test_matrices_without_pixels_are_refused():
    with pytest.raises(RefusedError, match="`confusion` must count at least one pixel"):
        segmentation_quality(np.zeros((3, 3), int))
    with pytest.raises(RefusedError, match="`confusion` must be a square matrix"):
        segmentation_quality(np.zeros((3, 2), int))


@pytest.mark.parametrize(
    ("confusion", "words"),
    [
        (np.array([[0.5, 0.2], [0.2, 0.1]]), "`confusion` must be ints, got float64"),
        (np.array([[np.nan, 1], [1, 1]]), "`confusion` must be ints, got float64"),
        (np.eye(2, dtype=bool), "`confusion` must be ints, got bool"),
        (np.array([[1, -3], [1, 1]]), "`confusion` must not be negative, got .*-3"),
    ],
)
def test_matrices_of_other_numbers_than_counts_are_refused(confusion, words):
    with pytest.raises(RefusedError, match=words):
        segmentation_quality(confusion)


@pytest.mark.parametrize("classes", [0, -2, 2.5, "3", None])
def test_number_of_classes_that_is_no_count_is_refused(classes):
    labels = np.full(2, 255)
    with pytest.raises(RefusedError, match=rf"`classes` must be .*got {classes!r}\."):
        confusion_matrix(labels, labels, classes=classes)
