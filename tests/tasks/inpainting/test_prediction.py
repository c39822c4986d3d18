"""Photographs of any size, filled by networks that were trained on small crops."""

import functools
from typing import Any

import numpy as np
import pytest

from carafe_jax.tasks.inpainting import load
from carafe_jax.tasks.inpainting.coarse_to_fine import fill_photograph
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
    with pytest.raises(ValueError, match=r"must be .* of inpainting.*classification"):
        load(tmp_path / "r")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reach": -1}, "`reach` must be positive, got -1"),
        ({"reach": 0}, "`reach` must be positive, got 0"),
        ({"longest_side": 1}, "`longest_side` must be at least 64, .* tile, got 1"),
        ({"hole": np.zeros((5, 7), bool)}, r"`hole` must be bool of shape \(20, 30\)"),
        ({"hole": np.zeros((20, 30), np.uint8)}, "`hole` must be bool .* got uint8"),
        ({"hole": np.ones((20, 30), bool)}, "`hole` must leave a pixel"),
        ({"photograph": np.zeros((20, 30), np.uint8)}, "`photograph` must have shape"),
        ({"photograph": np.zeros((20, 30, 3))}, "`photograph` must be uint8"),
    ],
)
def test_invalid_arguments_of_a_fill_are_refused(run, values, message):
    arguments: dict[str, Any] = {
        "photograph": random_photo(20, 30),
        "hole": square_hole(20, 30),
        **values,
    }
    with pytest.raises(ValueError, match=message):
        load(run).fill(**arguments)


@pytest.mark.parametrize(("reach", "longest_side"), [(30, 64), (30, 200), (1, None)])
def test_pixels_in_the_hole_have_no_effect(run, reach, longest_side):
    trained = load(run, which="last")
    photo, hole = random_photo(20, 130), square_hole(20, 130)
    other = np.where(hole[..., None], np.uint8(0), photo)
    first, second = (
        trained.fill(pixels, hole, reach=reach, longest_side=longest_side)
        for pixels in (photo, other)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("longest_side", [64, 20, None])
def test_large_photographs_are_filled_from_means_of_what_is_given(longest_side):
    photo, hole = _plain(21, 40), square_hole(21, 40)
    photo[hole] = 255
    fill, seen = _constants(0.5)
    filled = fill_photograph(
        photo, hole, fill=fill, reach=30, tile=256, longest_side=longest_side
    )
    np.testing.assert_array_equal(filled[~hole], 90)
    ((image, mask),) = ((batch["image"], batch["mask"]) for batch in seen)
    assert image.shape == (1, 64, 64, 3)
    given = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_allclose(image[given], 90 / 127.5 - 1, rtol=1e-6)
    if longest_side != 20:
        np.testing.assert_array_equal(filled[hole], round(1.5 * 127.5))


def test_a_hole_smaller_than_a_reduced_pixel_is_filled_by_the_mean_around_it():
    photo, hole = _plain(21, 40), square_hole(21, 40)
    photo[hole] = 255
    fill, seen = _constants(0.5)
    filled = fill_photograph(photo, hole, fill=fill, reach=30, tile=256, longest_side=7)
    np.testing.assert_array_equal(filled, 90)
    assert not seen


def test_deep_holes_are_filled_from_coarse_to_fine():
    photo = np.zeros((64, 64, 3), np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[20:44, 16:48] = True  # 12 pixels deep
    fill, seen = _constants(0.1, 0.2, 0.3)
    filled = fill_photograph(photo, hole, fill=fill, reach=3, tile=256)
    masks = [batch["mask"][0, ..., 0] for batch in seen]
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
    level = (filled[32, 16:32, 0] / 127.5 - 1) * 10
    # Rounded to 8 bits.
    np.testing.assert_allclose(level[[0, -1]], [3, 1], atol=0.05)
    assert np.all(np.diff(level) <= 0)


def test_no_border_between_the_sizes_can_be_seen():
    hole = np.zeros((256, 256), bool)
    hole[40:220, 30:240] = True
    fill, seen = _constants(-0.5, 0, 0.5)
    filled = fill_photograph(_plain(256, 256), hole, fill=fill, reach=30, tile=256)
    assert len(seen) == 3
    inside = filled[130, 30:240, 0].astype(int)
    assert inside.min() < 70
    assert inside.max() > 180
    # The fills of two sizes differ by 64, which is blended over the reach.
    assert abs(np.diff(inside)).max() < 6


def test_nearly_whole_hole_is_halved_a_limited_number_of_times():
    hole = np.ones((40, 40), bool)
    hole[0, 0] = False
    fill, seen = _constants(0, 0, 0, 0, 0)
    fill_photograph(_plain(40, 40), hole, fill=fill, reach=1, tile=256)
    assert len(seen) == 5


def test_large_photographs_are_filled_tile_by_tile():
    hole = np.zeros((700, 900), bool)
    hole[100:110] = hole[:, 300:308] = True
    photo = _plain(700, 900)
    fill, seen = _constants(0.5)
    reports = []
    filled = fill_photograph(
        photo, hole, fill=fill, reach=8, tile=250, progress=lambda *x: reports.append(x)
    )
    np.testing.assert_array_equal(filled[hole], round(1.5 * 127.5))
    np.testing.assert_array_equal(filled[~hole], 90)
    shapes = {batch["image"].shape for batch in seen}
    assert shapes <= {(8, 256, 256, 3), (1, 256, 256, 3)}
    tiles = sum(len(batch["image"]) for batch in seen)
    assert reports[0] == (0, tiles)
    assert reports[-1] == (tiles, tiles)
    assert reports == sorted(reports)
    assert len(reports) == 1 + len(seen)


def test_no_border_between_the_tiles_can_be_seen():
    hole = np.zeros((300, 1000), bool)
    hole[148:152] = True
    fill, seen = _constants(-0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5)
    # Each tile gets a value of its own.
    each = functools.partial(_one_by_one, fill)
    filled = fill_photograph(_plain(300, 1000), hole, fill=each, reach=8, tile=256)
    assert len(seen) > 4
    row = filled[150, :, 0].astype(int)
    assert np.ptp(row) > 100
    assert abs(np.diff(row)).max() < 10


def test_tiles_show_a_network_all_that_is_given_around_a_hole():
    photo, hole = random_photo(300, 400), np.zeros((300, 400), bool)
    hole[140:150, 190:200] = True
    fill, seen = _constants(0.5)
    fill_photograph(photo, hole, fill=fill, reach=8, tile=256)
    for batch in seen:
        for image, mask in zip(batch["image"], batch["mask"], strict=True):
            rows, columns, _ = np.nonzero(mask)
            assert min(rows.min(), columns.min()) >= 16
            assert max(rows.max(), columns.max()) < 256 - 16
            assert np.all(image[mask[..., 0] == 0] != 0.5)


def test_photograph_without_a_hole_is_unchanged(run):
    photo, reports = random_photo(20, 30), []
    filled = load(run).fill(
        photo, np.zeros((20, 30), bool), progress=lambda *x: reports.append(x)
    )
    np.testing.assert_array_equal(filled, photo)
    assert reports == [(0, 0)]


def _plain(height, width):
    return np.full((height, width, 3), 90, np.uint8)


def _constants(*values):
    """Return a fill of each batch with the next value, and the list of its batches.

    The last value is used for all further batches.
    """
    seen = []

    def fill(batch):
        value = np.float32(values[min(len(seen), len(values) - 1)])
        seen.append(batch)
        return np.where(batch["mask"] > 0, value, batch["image"])

    return fill, seen


def _one_by_one(fill, batch):
    pairs = zip(batch["image"], batch["mask"], strict=True)
    return np.concatenate([fill({"image": x[None], "mask": m[None]}) for x, m in pairs])
