import sys
import types

import numpy as np
import pytest
import skimage.data

from carafe_jax.data import Photographs, open_photographs


def all_of(photographs: Photographs) -> list[np.ndarray]:
    return [photographs[i] for i in range(len(photographs))]


def test_builtin_test_photographs_are_the_cat_and_the_rocket():
    photographs = all_of(open_photographs("builtin", split="test", minimum_side=64))
    expected = [skimage.data.chelsea(), skimage.data.rocket()]
    for photograph, original in zip(photographs, expected, strict=True):
        np.testing.assert_array_equal(photograph, original, strict=True)


def test_both_sides_of_the_motorcycle_are_for_training():
    photographs = all_of(open_photographs("builtin", split="train", minimum_side=64))
    assert len(photographs) == 6
    left, right, _ = skimage.data.stereo_motorcycle()
    for side in (left, right):
        assert sum(np.array_equal(side, photograph) for photograph in photographs) == 1


def test_builtin_photographs_are_8_bit_rgb():
    for split in ("train", "test"):
        photographs = open_photographs(
            "builtin", split=split, minimum_side=64, sufficient_side=100
        )
        for photograph in all_of(photographs):
            assert photograph.dtype == np.uint8
            assert photograph.shape[2] == 3
            assert 100 <= min(photograph.shape[:2]) < 200


def test_small_builtin_photographs_are_left_out():
    photographs = open_photographs("builtin", split="train", minimum_side=800)
    assert [photograph.shape[:2] for photograph in all_of(photographs)] == [
        (872, 1000),
        (1411, 1411),
    ]


def test_refuses_crops_larger_than_every_builtin_photograph():
    with pytest.raises(ValueError, match=r"`minimum_side` .* at most 427 .* got 428"):
        open_photographs("builtin", split="test", minimum_side=428)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"source": ""}, "`source` must be 'builtin', .* got ''"),
        ({"minimum_side": 0}, "`minimum_side` must be positive, got 0"),
        ({"sufficient_side": 63}, "`sufficient_side` must be at least .*64, got 63"),
    ],
)
def test_refuses_invalid_arguments(kwargs, message):
    arguments = {"source": "builtin", "split": "test", "minimum_side": 64} | kwargs
    with pytest.raises(ValueError, match=message):
        open_photographs(**arguments)


def install_tfds(monkeypatch, **parts: list[np.ndarray]) -> None:
    """Put a module in the place of TensorFlow Datasets that has one data set."""

    def data_source(name: str, *, download: bool) -> dict[str, list[dict]]:
        assert (name, download) == ("birds/small:1.0.0", False)
        return {
            split: [{"image": image, "label": 3} for image in images]
            for split, images in parts.items()
        }

    module = types.ModuleType("tensorflow_datasets")
    monkeypatch.setattr(module, "data_source", data_source, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


def open_birds(split, **kwargs) -> list[np.ndarray]:
    return all_of(
        open_photographs(
            "tfds:birds/small:1.0.0", split=split, minimum_side=16, **kwargs
        )
    )


@pytest.mark.parametrize("test_name", ["test", "validation"])
def test_tfds_splits_are_used(monkeypatch, test_name):
    bird, finch = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), np.uint8)
    install_tfds(monkeypatch, train=[bird], **{test_name: [finch]})
    np.testing.assert_array_equal(open_birds("train"), [bird], strict=True)
    np.testing.assert_array_equal(open_birds("test"), [finch], strict=True)


def test_tfds_grey_images_become_rgb(monkeypatch):
    grey = np.random.default_rng(0).integers(0, 256, (20, 24, 1), np.uint8)
    install_tfds(monkeypatch, train=[grey])
    np.testing.assert_array_equal(open_birds("train")[0], np.tile(grey, 3), strict=True)


def test_tfds_images_that_are_too_small_are_enlarged(monkeypatch):
    install_tfds(monkeypatch, train=[np.full((8, 12, 3), 9, np.uint8)])
    np.testing.assert_array_equal(open_birds("train")[0], np.full((16, 24, 3), 9))


def test_tfds_images_that_are_large_are_reduced(monkeypatch):
    install_tfds(monkeypatch, train=[np.full((100, 120, 3), 9, np.uint8)])
    (photograph,) = open_birds("train", sufficient_side=50)
    assert photograph.shape == (50, 60, 3)


def test_tfds_without_a_test_split_is_refused(monkeypatch):
    install_tfds(monkeypatch, train=[np.zeros((20, 24, 3), np.uint8)])
    with pytest.raises(
        ValueError, match=r"`source` must .*test or validation.*'train'"
    ):
        open_birds("test")


def test_missing_tfds_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'carafe-jax\[tfds\]'"):
        open_birds("train")
