import numpy as np
import pytest

from carafe_jax.data import FreeFormHoles, free_form_hole


def draw(seed: int, *, height: int = 64, width: int = 64, **kwargs) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return free_form_hole(
        rng, height=height, width=width, holes=FreeFormHoles(**kwargs)
    )


def components(hole: np.ndarray) -> int:
    """Count the 8-connected parts of a hole by flooding."""
    left = set(zip(*np.nonzero(hole), strict=True))
    count = 0
    while left:
        count += 1
        front = [left.pop()]
        while front:
            row, column = front.pop()
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
            front.extend(near & left)
            left -= near
    return count


def test_hole_is_float_with_one_channel_of_zeros_and_ones():
    hole = draw(0, height=40, width=56)
    assert hole.shape == (40, 56, 1)
    assert hole.dtype == np.float32
    assert set(np.unique(hole)) == {0.0, 1.0}


def test_same_generator_state_draws_the_same_hole():
    np.testing.assert_array_equal(draw(3), draw(3))


def test_successive_holes_of_one_generator_differ():
    rng = np.random.default_rng(0)
    first, second = (free_form_hole(rng, height=64, width=64) for _ in range(2))
    assert np.any(first != second)


@pytest.mark.parametrize("size", [(8, 8), (9, 200), (64, 64), (256, 256)])
def test_fraction_of_the_hole_is_in_the_range(size):
    shares = [draw(seed, height=size[0], width=size[1]).mean() for seed in range(20)]
    assert min(shares) >= 0.05
    assert max(shares) <= 0.4


def test_fraction_hardly_depends_on_the_resolution():
    small, large = (
        np.mean([draw(seed, height=side, width=side).mean() for seed in range(150)])
        for side in (64, 256)
    )
    # Rounding to whole pixels widens thin strokes a little: seen 0.007.
    assert abs(small - large) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_one_stroke_is_one_connected_hole(seed):
    hole = draw(seed, strokes=(1, 1), rectangles=(0, 0), hole_fraction=(1e-6, 0.99))
    assert components(hole[..., 0] > 0) == 1


def test_wider_brush_makes_a_larger_hole():
    stroke = {"strokes": (1, 1), "rectangles": (0, 0), "hole_fraction": (1e-6, 0.999)}
    shares = [
        draw(0, brush_width=(width, width), **stroke).mean()
        for width in (0.02, 0.06, 0.12)
    ]
    assert shares == sorted(shares)
    assert shares[2] > 2 * shares[0]


@pytest.mark.parametrize("seed", range(5))
def test_rectangle_has_the_given_sides(seed):
    hole = draw(
        seed,
        height=50,
        width=80,
        strokes=(0, 0),
        rectangles=(1, 1),
        rectangle_side=(0.2, 0.2),
        hole_fraction=(1e-6, 0.99),
    )
    rows, columns = np.nonzero(hole[..., 0])
    assert np.ptp(rows) == 9
    assert np.ptp(columns) == 9
    assert hole.sum() == 100


def test_width_of_a_rectangle_can_differ_from_its_height():
    hole = draw(
        0,
        height=192,
        width=192,
        strokes=(0, 0),
        rectangles=(1, 1),
        rectangle_side=(0.3125, 0.3125),
        rectangle_width=(0.365, 0.365),
        hole_fraction=(1e-6, 0.99),
    )
    rows, columns = np.nonzero(hole[..., 0])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (60, 70)


def test_unreachable_fraction_gives_one_rectangle_of_that_fraction():
    hole = draw(
        0, brush_width=(0.01, 0.02), rectangles=(0, 0), hole_fraction=(0.6, 0.7)
    )
    assert 0.6 <= hole.mean() <= 0.7
    rows, columns = np.nonzero(hole[..., 0])
    assert hole.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


@pytest.mark.parametrize("share", [(1e-9, 2e-9), (1 - 2e-9, 1 - 1e-9)])
def test_hole_has_pixels_of_both_kinds_for_every_fraction(share):
    hole = draw(0, height=8, width=8, hole_fraction=share)
    assert 0 < hole.sum() < 64


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"strokes": (3, 1)}, r"`strokes` must be .* got \(3, 1\)"),
        ({"turn": (-1.0, 5.0)}, r"`turn` must be .* got \(-1.0, 5.0\)"),
        ({"brush_width": (0.1, float("nan"))}, "`brush_width` must be .* nan"),
        ({"rectangle_side": (0.1, float("inf"))}, "`rectangle_side` must be .* inf"),
        ({"rectangle_width": (0.3, 0.1)}, r"`rectangle_width` must .* \(0.3, 0.1\)"),
        ({"vertices": (0, 4)}, r"`vertices` must be at least 1 .* got \(0, 4\)"),
        ({"hole_fraction": (0.0, 0.5)}, r"`hole_fraction` must be .* got \(0.0, 0.5\)"),
        ({"hole_fraction": (0.5, 1.0)}, r"`hole_fraction` must be .* got \(0.5, 1.0\)"),
        ({"strokes": (0, 0), "rectangles": (0, 0)}, "`strokes` and `rectangles`"),
    ],
)
def test_refuses_holes_that_cannot_be_drawn(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FreeFormHoles(**kwargs)


@pytest.mark.parametrize("side", ["height", "width"])
def test_refuses_a_side_without_room_for_a_hole(side):
    size = {"height": 64, "width": 64} | {side: 7}
    with pytest.raises(ValueError, match=f"`{side}` must be at least 8, got 7"):
        draw(0, **size)
