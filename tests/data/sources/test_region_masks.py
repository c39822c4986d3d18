import numpy as np
import pytest

from carafe_jax.data.sources.region_masks import box_to_rle
from tests.data.sources.coco.files import tools


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([2, 3, 5, 7], 3 * 4),
        ([2.5, 3, 2.6, 3.1], 1),
        ([-5, -5, 1, 1], 1),
        ([9.5, 7.5, 90, 90], 1),
        ([-5, -5, 90, 90], 80),
    ],
)
def test_mask_of_a_box_is_its_pixels(box, expected):
    mask = box_to_rle(np.array(box, float), (8, 10))
    assert tools.area(mask) == expected
    # The encoding is that of pycocotools itself.
    assert tools.encode(np.asfortranarray(tools.decode(mask))) == mask
    # From the first touched pixel to the last.
    x, y, width, height = tools.toBbox(mask)
    assert x <= max(box[0], 0) < x + width
    assert y <= max(box[1], 0) < y + height
