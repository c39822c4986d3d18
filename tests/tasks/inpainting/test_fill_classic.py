"""Classic fills of whole photographs."""

from typing import Any, get_args

import numpy as np
import pytest

from carafe_jax.errors import MissingExtraError
from carafe_jax.tasks.inpainting import ClassicMethod, classic_fills, fill_classic
from carafe_jax.tasks.inpainting.classic_fills import spline
from carafe_jax.tasks.inpainting.pixels import from_pixels, to_pixels
from tests.tasks.inpainting.pictures import random_photo, square_hole

METHODS: tuple[ClassicMethod, ...] = get_args(ClassicMethod)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(20, 30, 3), (90, 300, 1)])
def test_every_method_continues_a_constant(method, shape):
    hole = square_hole(*shape[:2])
    photo = np.full(shape, 90, np.uint8)
    photo[hole] = 255
    filled = fill_classic(photo, hole, method=method)
    # Telea's fill rounds down on its way inwards.
    np.testing.assert_allclose(filled, 90, atol=2)
    np.testing.assert_array_equal(filled[~hole], 90)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_hole_hides_does_not_matter(method):
    photo, hole = random_photo(40, 50), square_hole(40, 50)
    other = np.where(hole[..., None], np.uint8(0), photo)
    first, second = (fill_classic(x, hole, method=method) for x in (photo, other))
    np.testing.assert_array_equal(first, second)


def test_sixteen_bits_and_opacity_are_kept():
    rng, hole = np.random.default_rng(0), square_hole(20, 30)
    photo = rng.integers(0, 65536, (20, 30, 4), dtype=np.uint16)
    filled = fill_classic(photo, hole)
    assert filled.dtype == np.uint16
    np.testing.assert_array_equal(filled[~hole], photo[~hole])
    assert np.all(filled[hole, 3] == 65535)


def test_pixels_far_from_the_hole_change_nothing_that_can_be_seen():
    rows, columns = np.mgrid[:200, :300]
    photo = np.stack([rows, columns % 256, 90 + 40 * np.sin(columns / 9)], -1)
    photo = photo.astype(np.uint8)
    hole = np.zeros((200, 300), bool)
    hole[100:130, 70:90] = True
    mask = hole[None, ..., None].astype(np.float32)
    whole = to_pixels(spline({"image": from_pixels(photo)[None], "mask": mask})[0])
    filled = fill_classic(photo, hole)
    np.testing.assert_allclose(filled.astype(int), whole.astype(int), atol=2)


def test_mean_colour_is_that_of_the_whole_photograph():
    photo, hole = np.zeros((20, 400, 3), np.uint8), np.zeros((20, 400), bool)
    photo[:, 200:] = 100
    hole[5:15, 10:30] = True
    filled = fill_classic(photo, hole, method="mean-colour")
    mean = 100 * 200 * 20 / (400 * 20 - 200)
    np.testing.assert_array_equal(filled[hole], round(mean))


def test_a_photograph_without_a_hole_stays_as_it_is():
    photo = random_photo(20, 30)
    filled = fill_classic(photo, np.zeros((20, 30), bool))
    np.testing.assert_array_equal(filled, photo)
    assert filled is not photo


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"method": "splines"},
            "`method` must be one of 'mean-colour', .* got 'splines'",
        ),
        ({"hole": np.ones((20, 30), bool)}, "`hole` must leave a pixel"),
        ({"hole": np.zeros((5, 7), bool)}, r"`hole` must be bool of shape \(20, 30\)"),
        ({"photograph": np.zeros((20, 30))}, "`photograph` must have shape"),
    ],
)
def test_what_cannot_be_filled_is_refused(values, message):
    arguments: dict[str, Any] = {
        "photograph": random_photo(20, 30),
        "hole": square_hole(20, 30),
        **values,
    }
    with pytest.raises(ValueError, match=message):
        fill_classic(**arguments)


@pytest.mark.parametrize("method", ["telea", "navier-stokes"])
def test_methods_of_opencv_say_how_to_install_it(method, monkeypatch):
    find = classic_fills.importlib.util.find_spec
    monkeypatch.setattr(
        classic_fills.importlib.util,
        "find_spec",
        lambda name: None if name == "cv2" else find(name),
    )
    with pytest.raises(MissingExtraError, match=r"'carafe-jax\[opencv\]'"):
        fill_classic(random_photo(20, 30), square_hole(20, 30), method=method)
