"""Reasons why photographs are left out."""

import pathlib

from carafe_jax.tasks.photograph_files import with_path

PHOTOGRAPH = pathlib.Path("photos/a.png")


def test_reason_that_quotes_its_photograph_is_kept():
    reason = "cannot read 'photos/a.png': it is empty"
    assert with_path(PHOTOGRAPH, reason) == reason


def test_reason_with_an_output_of_an_equal_path_gets_its_photograph():
    reason = "its label map would be out/photos/a.png"
    assert with_path(PHOTOGRAPH, reason) == f"photos/a.png: {reason}"
