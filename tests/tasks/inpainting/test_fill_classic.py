"""Classic fills of whole photographs."""

import sys
from typing import Any, get_args

import numpy as np
import pytest

from carafe_jax.errors import MissingExtraError
from carafe_jax.tasks.inpainting import ClassicMethod, fill_classic
from carafe_jax.tasks.inpainting.classic_fills import CLASSIC_FILLS, spline
from carafe_jax.tasks.inpainting.hole_boxes import box_of
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
def test_pixels_in_the_hole_have_no_effect(method):
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


@pytest.mark.parametrize(
    ("method", "side"),
    [
        *((name, 20) for name in METHODS if CLASSIC_FILLS[name].context is not None),
        # The biharmonic fill of a large hole takes minutes.
        *((name, 192) for name in ("harmonic", "spline", "telea", "navier-stokes")),
    ],
)
def test_pixels_beyond_the_context_change_a_fill_by_at_most_a_level(method, side):
    classic = CLASSIC_FILLS[method]
    assert classic.context is not None
    photo, hole = random_photo(320, 330), np.zeros((320, 330), bool)
    hole[64 : 64 + side, 70 : 70 + side] = True
    near = box_of(hole, margin=classic.context)
    other = np.zeros_like(photo)
    other[near] = photo[near]
    mask = hole[None, ..., None].astype(np.float32)
    first, second = (
        to_pixels(classic.fill({"image": from_pixels(x)[None], "mask": mask})[0])
        for x in (photo, other)
    )
    # OpenCV looks at a radius, the others at means over ever larger blocks.
    atol = 0 if classic.of_opencv else 1
    np.testing.assert_allclose(
        first[hole].astype(int), second[hole].astype(int), atol=atol
    )


def test_a_fill_from_the_surroundings_is_about_that_of_the_whole_photograph():
    rows, columns = np.mgrid[:200, :300]
    photo = np.stack([rows, columns % 256, 90 + 40 * np.sin(columns / 9)], -1)
    photo = photo.astype(np.uint8)
    hole = np.zeros((200, 300), bool)
    hole[100:130, 70:90] = True
    mask = hole[None, ..., None].astype(np.float32)
    whole = to_pixels(spline({"image": from_pixels(photo)[None], "mask": mask})[0])
    filled = fill_classic(photo, hole)
    # The blocks of the pyramid begin at other pixels than for the whole photograph.
    np.testing.assert_allclose(filled.astype(int), whole.astype(int), atol=2)


def test_mean_colour_is_that_of_the_whole_photograph():
    photo, hole = np.zeros((20, 400, 3), np.uint8), np.zeros((20, 400), bool)
    photo[:, 200:] = 100
    hole[5:15, 10:30] = True
    filled = fill_classic(photo, hole, method="mean-colour")
    mean = 100 * 200 * 20 / (400 * 20 - 200)
    np.testing.assert_array_equal(filled[hole], round(mean))


def test_photograph_without_a_hole_is_unchanged():
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
def test_invalid_arguments_of_a_fill_are_refused(values, message):
    arguments: dict[str, Any] = {
        "photograph": random_photo(20, 30),
        "hole": square_hole(20, 30),
        **values,
    }
    with pytest.raises(ValueError, match=message):
        fill_classic(**arguments)


@pytest.mark.parametrize("method", ["telea", "navier-stokes"])
def test_methods_of_opencv_say_how_to_install_it(method, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"'carafe-jax\[opencv\]'"):
        fill_classic(random_photo(20, 30), square_hole(20, 30), method=method)
