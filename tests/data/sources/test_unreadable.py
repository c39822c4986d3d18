import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from carafe_jax.data import (
    TooManyUnreadableImagesError,
    UnreadableImageError,
    UnreadableImages,
)
from carafe_jax.errors import RefusedError


class Names:
    """Images named a, b, c, ..."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int, /) -> str:
        return "abcdefghijklmnopqrstuvwxyz"[index]


def reader(*unreadable: int):
    def read(index: int) -> int:
        if index in unreadable:
            raise UnreadableImageError(f"damaged {index}")
        return index

    return read


def test_unreadable_image_is_replaced_by_the_next_readable_one():
    images = UnreadableImages(Names(4), limit=3)
    read = reader(1, 2, 3)
    assert [images.read_or_next(index, read) for index in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("place", "expected"), [(0, 1), (1, 1), (2, 7), (3, 7), (4, 1)]
)
def test_unreadable_image_is_replaced_by_one_of_its_group(place, expected):
    images = UnreadableImages(Names(10), limit=3)
    group = np.array([0, 1, 4, 7, 9])
    assert images.read_or_next_of(place, reader(0, 4, 9), group=group) == expected


def test_group_without_a_readable_image_has_no_example():
    images = UnreadableImages(Names(4), limit=3)
    group = np.array([1, 3])
    assert images.read_or_next_of(0, reader(1, 3), group=group) is None
    with pytest.raises(RefusedError, match="must have readable images, got none among"):
        UnreadableImages(Names(4), limit=4).read_or_next_of(
            0, reader(*range(4)), group=group
        )


def test_unreadable_image_is_read_as_none():
    images = UnreadableImages(Names(3), limit=3)
    assert [images.read_or_none(i, reader(1)) for i in range(3)] == [0, None, 2]


def test_each_image_is_named_once_with_its_reason_and_its_number(caplog):
    images = UnreadableImages(Names(26), limit=100)
    with caplog.at_level(logging.WARNING):
        for index in range(26):
            images.read_or_none(index, reader(*range(25)))
    lines = [record.message for record in caplog.records]
    assert lines[2] == (
        "Skipped an unreadable image, the 3rd of at most 100: c (damaged 2)"
    )
    for number in (
        "1st",
        "2nd",
        "11th",
        "12th",
        "13th",
        "21st",
        "22nd",
        "23rd",
        "25th",
    ):
        assert sum(f"the {number} of" in line for line in lines) == 1
    assert len(lines) == 25


@pytest.mark.parametrize("method", ["read_or_next", "read_or_none"])
def test_more_than_the_limit_are_an_error(method):
    images, read = UnreadableImages(Names(26), limit=2), reader(*range(25))
    assert images.read_or_none(25, read) == 25
    for index in range(2):
        assert images.read_or_none(index, read) is None
    with pytest.raises(
        TooManyUnreadableImagesError,
        match=r"^`unreadable_limit` allows 2 .*, got 3: a \(damaged 0\); .*\.$",
    ):
        getattr(images, method)(2, read)


@pytest.mark.parametrize("limit", [0, 1])
def test_image_over_the_limit_is_logged_as_over_the_limit(limit, caplog):
    images, read = UnreadableImages(Names(3), limit=limit), reader(0, 1)
    assert images.read_or_none(2, read) == 2
    for index in range(limit):
        images.read_or_none(index, read)
    caplog.clear()
    for _ in range(2):
        with pytest.raises(TooManyUnreadableImagesError):
            images.read_or_none(limit, read)
    assert [record.message for record in caplog.records] == [
        f"Found an unreadable image, over the limit of {limit}: "
        f"{images.images.name(limit)} (damaged {limit})"
    ]


@pytest.mark.parametrize("method", ["read_or_next", "read_or_none"])
def test_source_without_a_readable_image_is_an_error(method):
    images = UnreadableImages(Names(12), limit=100)
    with pytest.raises(
        RefusedError,
        match=r"`source` must have readable images, got none among 12: "
        r".*a \(damaged 0\).*and 2 more\.$",
    ):
        getattr(images, method)(7, reader(*range(12)))


@pytest.mark.parametrize("error", [TypeError, ValueError, RefusedError])
def test_errors_of_other_code_are_no_unreadable_images(error):
    def read(index: int) -> int:
        raise error(index)

    with pytest.raises(error):
        UnreadableImages(Names(2), limit=9).read_or_next(0, read)


def test_error_survives_pickling_with_its_message():
    error = TooManyUnreadableImagesError({"a.png": "too small", "b.png": "cut"}, 1)
    error.add_note("in a worker")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is TooManyUnreadableImagesError
    assert isinstance(copy, RefusedError)
    assert str(copy) == str(error)
    assert (copy.reasons, copy.limit) == (error.reasons, 1)
    assert copy.__notes__ == ["in a worker"]


def test_threads_count_each_image_once(caplog):
    images = UnreadableImages(Names(26), limit=100)
    read = reader(*range(25))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: images.read_or_none(i % 26, read), range(520)))
    assert len(caplog.records) == 25


def test_copy_in_another_process_counts_from_zero(caplog):
    images = UnreadableImages(Names(2), limit=1)
    assert images.read_or_next(0, reader(0)) == 1
    copy = pickle.loads(pickle.dumps(images))
    assert copy.read_or_next(0, reader(0)) == 1
    assert caplog.text.count("the 1st of at most 1: a (damaged 0)") == 2
