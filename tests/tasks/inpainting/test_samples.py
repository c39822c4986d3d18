"""Sheets of pictures with holes, their fills and the truth."""

import numpy as np

from carafe_jax.tasks.inpainting.samples import draw_samples

SIDE = 96


def draw(**options):
    image = np.zeros((2, 48, 48, 3), np.float32)
    mask = np.zeros((2, 48, 48, 1), np.float32)
    mask[:, 16:32, 16:32] = 1
    sheet = draw_samples({"image": image, "mask": mask}, side=SIDE, **options)
    return np.asarray(sheet)


def is_dark(pixels):
    return pixels.max(-1) < 100


def test_no_title_reaches_over_its_column():
    image = np.ones((2, 48, 48, 3), np.float32)
    sheet = draw(fills={"Global&Local, partial convolutions": image})
    header = is_dark(sheet[: len(sheet) - 2 * (SIDE + 4) + 4])
    for column in range(3):
        left = column * (SIDE + 4)
        assert header[:, left : left + SIDE].any()
        assert not header[:, left + SIDE : left + SIDE + 4].any()


def test_captions_are_under_the_pictures_of_their_column():
    fill = np.ones((2, 48, 48, 3), np.float32)
    sheet = draw(fills={"some": fill}, captions={"some": ["20.1 dB", "21.3 dB"]})
    # Under the last row.
    written = is_dark(sheet[-20:]).any(0)
    assert written[SIDE + 4 : 2 * SIDE + 4].any()
    assert not written[: SIDE + 4].any()
    assert not written[2 * SIDE + 4 :].any()
