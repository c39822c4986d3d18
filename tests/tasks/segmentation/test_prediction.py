"""Label maps of photographs of any size and kind, with drawn weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import RefusedError
from carafe_jax.nn import resize_bilinear
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.padded_images import normalised_images
from carafe_jax.tasks.segmentation.photographs import prepare_photograph
from carafe_jax.tasks.segmentation.views import Views
from tests.tasks.photograph_files import photograph, save_every_kind
from tests.tiny_trained_segmenter import tiny_trained_segmenter


@pytest.fixture(scope="module")
def segmenter():
    return tiny_trained_segmenter()


@pytest.mark.parametrize("size", [(1, 1), (60, 90), (3, 200)])
def test_label_maps_have_the_size_of_their_photographs(segmenter, size):
    found = segmenter.segment(photograph(*size))
    assert found.labels.shape == size
    assert found.labels.dtype == np.uint8
    assert found.labels.max() < 3
    assert found.classes == ("sky", "tree", "road")
    np.testing.assert_array_equal(found.palette[1], (0, 128, 0))


def test_labels_are_the_largest_logits_at_the_size_of_the_photograph(segmenter):
    pixels = photograph(60, 90)
    logits = logits_of(segmenter, *prepare_photograph(pixels, segmenter.data, Views()))
    expected = resize_bilinear(logits, size=(60, 90))[0].argmax(-1)
    found = segmenter.segment(pixels).labels
    assert len(np.unique(found)) > 1
    # Where float32 cannot tell two classes apart, either may be chosen.
    assert (found == expected).mean() > 0.999


def logits_of(segmenter, image):
    size = jnp.array([image.shape[:2]])
    images = normalised_images(jnp.asarray(image[None]), size, dtype="float32")
    return segmenter.network.apply(segmenter.variables, images)


def test_views_are_averaged_with_their_mirror_images(segmenter):
    pixels, size = photograph(60, 90), (60, 90)
    views = Views(short_sides=(32, 96), flip=True)
    data = dataclasses.replace(segmenter.data, long_side=96)
    several = dataclasses.replace(segmenter, views=views, data=data)
    assert views.sizes(Size(60, 90), data) == ((32, 64), (64, 96))
    images = prepare_photograph(pixels, data, views)
    total = np.zeros((*size, 3))
    for image in images:
        logits = logits_of(segmenter, image)
        total += jax.nn.softmax(resize_bilinear(logits, size=size))[0]
        logits = logits_of(segmenter, image[:, ::-1])
        total += jax.nn.softmax(resize_bilinear(logits, size=size))[0, :, ::-1]
    best = np.sort(total, -1)
    clear = best[..., -1] - best[..., -2] > 1e-4  # Else float32 may choose either.
    assert clear.mean() > 0.99
    found = several.segment(pixels).labels
    np.testing.assert_array_equal(found[clear], total.argmax(-1)[clear])
    assert (found != segmenter.segment(pixels).labels).any()
    for other in [(62, 92), (64, 96)]:  # Of the same sizes.
        several.segment(photograph(*other))
    assert several._logits._cache_size() == several._label_maps._cache_size() == 1


def test_label_maps_of_other_views_have_another_provenance(segmenter):
    views = Views(flip=True)
    flipped = dataclasses.replace(segmenter, views=views).provenance()
    assert flipped == {**segmenter.provenance(), "flip": True}


def test_short_sides_of_views_must_be_positive():
    with pytest.raises(
        RefusedError, match="`short_sides` must be one or more positive ints"
    ):
        Views(short_sides=(0,))


def test_files_are_read_upright_as_rgb(segmenter, tmp_path):
    for path, pixels in save_every_kind(tmp_path, photograph(60, 90)):
        found = segmenter.segment(path)
        np.testing.assert_array_equal(found.labels, segmenter.segment(pixels).labels)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_photographs_are_returned_in_order_with_the_errors_of_files(
    segmenter, tmp_path, batch_size
):
    (tmp_path / "broken.png").write_bytes(b"no image")
    # Two own sizes of one padded size, and one of another.
    sizes = [(60, 90), (62, 92), (3, 200), (60, 90), (62, 92)]
    arrays = [photograph(*size, seed) for seed, size in enumerate(sizes)]
    given = [*arrays[:2], tmp_path / "broken.png", *arrays[2:]]
    found = list(segmenter.segment_all(iter(given), batch_size=batch_size))
    assert isinstance(found.pop(2), UnreadableImageError)
    for each, array in zip(found, arrays, strict=True):
        assert each.labels.shape == array.shape[:2]
        # The same sums in batches of another size.
        assert (each.labels == segmenter.segment(array).labels).mean() > 0.999


def test_photographs_of_one_padded_size_share_a_program(segmenter):
    fresh = tiny_trained_segmenter()
    for size in [(60, 90), (62, 92), (64, 96)]:
        fresh.segment(photograph(*size))
    assert fresh._label_maps._cache_size() == 1


def test_photographs_of_one_resized_size_share_the_program_of_the_network(segmenter):
    fresh = tiny_trained_segmenter()
    for size in [(60, 90), (120, 180), (240, 360)]:
        fresh.segment(photograph(*size))
    assert fresh._logits._cache_size() == 1
    assert fresh._label_maps._cache_size() == 3


def test_photograph_without_pixels_is_refused(segmenter):
    with pytest.raises(RefusedError, match="at least one pixel"):
        segmenter.segment(np.zeros((0, 4, 3), np.uint8))


def test_provenance_tells_weights_apart(segmenter):
    other = tiny_trained_segmenter(
        variables={"params": {"a": jnp.ones(2)}}, step=8
    ).provenance()
    own = segmenter.provenance()
    assert {name for name in own if own[name] != other[name]} == {"weights", "step"}
