"""Photographs of any size, filled by networks that were trained on small crops."""

from typing import Any

import numpy as np
import pytest

from carafe_jax.tasks.inpainting import load
from carafe_jax.tasks.inpainting.prediction import fill_photograph
from carafe_jax.tasks.run import train_and_report
from tests.tasks.inpainting.pictures import random_photo, square_hole
from tests.tasks.runs import adversarial, call, classification, labelled_folder


def test_last_checkpoint_has_the_step_and_the_data_of_the_run(run):
    trained = load(run, which="last")
    assert (trained.step, trained.name) == (4, "U-Net")
    assert (trained.data.crop_size, trained.data.batch_size) == (16, 2)


def test_generator_is_loaded_without_its_discriminator(tmp_path):
    config = adversarial(tmp_path, steps=1, resampler="conv")
    assert call(train_and_report, config)[0] == 0
    trained = load(tmp_path)
    assert trained.name == "Global&Local"
    assert set(trained.variables["params"]) >= {"stem", "output"}


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`model` must be the folder of a run"):
        load(tmp_path)


def test_run_of_another_task_is_refused(tmp_path):
    config = classification(labelled_folder(tmp_path / "i"), tmp_path / "r", epochs=1)
    assert call(train_and_report, config)[0] == 0
    with pytest.raises(ValueError, match=r"must be .* inpainting run.*classification"):
        load(tmp_path / "r")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reach": -1}, "`reach` must be positive, got -1"),
        ({"reach": 0}, "`reach` must be positive, got 0"),
        ({"longest_side": 0}, "`longest_side` must be positive, got 0"),
        ({"hole": np.zeros((5, 7), bool)}, r"`hole` must be bool of shape \(20, 30\)"),
        ({"hole": np.zeros((20, 30), np.uint8)}, "`hole` must be bool .* got uint8"),
        ({"hole": np.ones((20, 30), bool)}, "`hole` must leave a pixel"),
        ({"photograph": np.zeros((20, 30), np.uint8)}, "`photograph` must have shape"),
        ({"photograph": np.zeros((20, 30, 3))}, "`photograph` must be uint8"),
    ],
)
def test_what_cannot_be_filled_is_refused(run, values, message):
    arguments: dict[str, Any] = {
        "photograph": random_photo(20, 30),
        "hole": square_hole(20, 30),
        **values,
    }
    with pytest.raises(ValueError, match=message):
        load(run).fill(**arguments)


@pytest.mark.parametrize(("reach", "longest_side"), [(30, 15), (30, 64), (1, 64)])
def test_what_the_hole_hides_does_not_matter(run, reach, longest_side):
    trained = load(run, which="last")
    photo, hole = random_photo(20, 30), square_hole(20, 30)
    other = np.where(hole[..., None], np.uint8(0), photo)
    first, second = (
        trained.fill(pixels, hole, reach=reach, longest_side=longest_side)
        for pixels in (photo, other)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("longest_side", [64, 20, 7])
def test_large_photographs_are_filled_from_means_of_what_is_given(longest_side):
    photo = np.full((21, 40, 3), 90, np.uint8)
    hole = square_hole(21, 40)
    photo[hole] = 255
    seen = []

    def constant(batch):
        seen.append(batch)
        return np.where(batch["mask"] > 0, np.float32(0.5), batch["image"])

    filled = fill_photograph(
        photo, hole, fill=constant, reach=30, longest_side=longest_side
    )
    np.testing.assert_array_equal(filled[~hole], 90)
    ((image, mask),) = ((batch["image"], batch["mask"]) for batch in seen)
    assert image.shape == (1, 64, 64, 3)
    given = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_allclose(image[given], 90 / 127.5 - 1, rtol=1e-6)
    if longest_side == 64:
        np.testing.assert_array_equal(filled[hole], round(1.5 * 127.5))


def test_deep_holes_are_filled_from_coarse_to_fine():
    photo = np.zeros((64, 64, 3), np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[20:44, 16:48] = True  # 12 pixels deep
    masks = []

    def count(batch):
        masks.append(batch["mask"][0, ..., 0])
        level = np.float32(len(masks) / 10)
        return np.where(batch["mask"] > 0, level, batch["image"])

    filled = fill_photograph(photo, hole, fill=count, reach=3, longest_side=64)
    # Sizes 1/4, 1/2 and 1, padded to 64 by mirrors.
    unknown = [
        mask[:side, :side] for mask, side in zip(masks, (16, 32, 64), strict=True)
    ]
    assert [mask.sum() for mask in unknown] == [
        6 * 8,
        12 * 16 - 6 * 10,
        24 * 32 - 18 * 26,
    ]
    np.testing.assert_array_equal(filled[~hole], 0)
    level = np.round((filled[..., 0] / 127.5 - 1) * 10)
    np.testing.assert_array_equal(level[32, 16:30], 3 * [3] + 3 * [2] + 8 * [1])


def test_a_hole_without_end_is_filled_once_nothing_is_left_of_the_photograph():
    hole = np.ones((40, 40), bool)
    hole[0, 0] = False
    batches = []

    def fill(batch):
        batches.append(batch)
        return np.zeros_like(batch["image"])

    fill_photograph(
        np.zeros((40, 40, 3), np.uint8), hole, fill=fill, reach=1, longest_side=64
    )
    assert len(batches) == 5
