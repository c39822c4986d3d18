import os

import pytest

from carafe_jax.texts import counted, listed, percent, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("holiday[old].png", "holiday[old].png"),
        ("Größe 日本 😀.png", "Größe 日本 😀.png"),
        (os.fsdecode(b"caf\xe9.png"), "caf\\xe9.png"),
        ("a\nb\x1b[31m.png", "a\\nb\\x1b[31m.png"),
        ("half \ud83d pair", "half \\ud83d pair"),
        (r"back\slash", r"back\slash"),
    ],
)
def test_names_are_shown_in_one_line_of_utf_8(name, shown):
    assert printable(name) == shown
    printable(name).encode("utf-8")


def test_counts_agree_with_their_nouns():
    assert counted(1, "seed") == "1 seed"
    assert counted(0, "seed") == "0 seeds"
    assert counted(2000, "image") == "2,000 images"
    assert counted(1, "class", "classes") == "1 class"
    assert counted(2, "class", "classes") == "2 classes"


def test_names_are_listed_as_in_a_sentence():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_fractions_are_shown_in_percent():
    assert percent(0.7634, digits=1) == "76.3 %"
    assert percent(0.1) == "10 %"


@pytest.mark.parametrize(
    ("fraction", "digits", "shown"),
    [
        (0.0, 0, "0 %"),
        (1e-9, 0, "under 1 %"),
        (0.00049, 1, "under 0.1 %"),
        (0.0006, 1, "0.1 %"),
        (0.994, 0, "99 %"),
        (0.9997, 0, "over 99 %"),
        (0.9997, 2, "99.97 %"),
        (1 - 1e-9, 2, "over 99.99 %"),
        (1.0, 2, "100.00 %"),
    ],
)
def test_only_exact_values_are_shown_as_0_and_100_percent(fraction, digits, shown):
    assert percent(fraction, digits=digits) == shown
