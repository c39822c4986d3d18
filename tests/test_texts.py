import os

import pytest

from carafe_jax.texts import counted, percent, printable


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


def test_fractions_are_shown_in_percent():
    assert percent(0.7634, digits=1) == "76.3 %"
    assert percent(0.1) == "10 %"
