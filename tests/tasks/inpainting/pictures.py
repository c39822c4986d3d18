"""Photographs and masks in files."""

import numpy as np
from PIL import Image


def random_photo(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def square_hole(height, width):
    hole = np.zeros((height, width), bool)
    hole[2:6, 3:9] = True
    return hole


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path
