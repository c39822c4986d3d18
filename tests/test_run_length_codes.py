import numpy as np
import pytest

from carafe_jax import run_length_codes
from carafe_jax.run_length_codes import RLE, are_valid_counts, decode_mask, ends_of_runs
from tests.data.sources.coco.files import tools


def valid(encodings: list[bytes], pixels: int) -> list[bool]:
    content = np.frombuffer(b"".join(encodings), np.uint8)
    offsets = np.cumsum([0, *map(len, encodings)])
    sizes = np.full(len(encodings), pixels)
    return are_valid_counts(content, offsets, sizes).tolist()


def encodings(count: int) -> list[bytes]:
    """Return encodings of masks of 40 x 25 pixels, from empty to noise."""
    rng = np.random.default_rng(0)
    masks = rng.random((count, 40, 25)) < rng.random(count)[:, None, None] ** 3
    masks[: count // 2, 5:, :20] = 0
    fortran = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    return [encoded["counts"] for encoded in tools.encode(fortran)]


@pytest.mark.parametrize("chunk", [1, 100, 2**22])
def test_encodings_of_pycocotools_are_valid(monkeypatch, chunk):
    monkeypatch.setattr(run_length_codes, "_CHUNK_BYTES", chunk)
    assert all(valid(encodings(50), 1000))
    assert not any(valid(encodings(50), 1001))


def test_damaged_encodings_are_found_among_others():
    found = encodings(60)
    expected = [True] * 60
    damage = [
        lambda text: text[:-1] + b"P",  # A number that does not end.
        lambda text: text + b"1",  # A run too many.
        lambda text: b"\x00" + text,
        lambda text: b"\x7f" + text,
        lambda text: b"PPPPPPPPP0" + text,  # Over 32 bits.
        lambda text: b"N" + text,  # A negative run.
        lambda text: b"",
    ]
    for number, change in enumerate(damage):
        found[5 * number] = change(found[5 * number])
        expected[5 * number] = False
    assert valid(found, 1000) == expected


def test_no_encodings_are_valid():
    assert valid([], 10) == []


def test_ends_of_runs_are_those_of_the_decoded_mask():
    for counts in encodings(20):
        mask = decode_mask(RLE(size=[40, 25], counts=counts)).T.ravel()
        ends = ends_of_runs(counts)
        assert ends[-1] == mask.size
        values = np.arange(len(ends)) % 2 == 1
        np.testing.assert_array_equal(np.repeat(values, np.diff(ends, prepend=0)), mask)
