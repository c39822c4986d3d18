"""The sheet of fills by two networks and a classic method."""

import numpy as np
import pytest
from rich.console import Console

from carafe_jax.data import FreeFormHoles
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting import InpaintingData
from carafe_jax.tasks.inpainting.classic_fills import harmonic, mean_colour
from carafe_jax.tasks.inpainting.data import InpaintingDataset
from carafe_jax.tasks.inpainting.hole_kinds import boxes, thin_strokes, with_each_kind
from experiments.inpainting.comparison.sheet import (
    best_fill,
    different_pictures,
    draw_sheet,
)
from experiments.inpainting.draw_comparison import DrawComparison, main

EXAMPLES = InpaintingDataset(InpaintingData(crop_size=16, test_crops=3)).held_out


def test_best_fill_is_that_with_the_highest_psnr():
    methods = {"mean colour": mean_colour, "harmonic": harmonic}
    console = Console(quiet=True)
    assert best_fill([EXAMPLES], methods, batch_size=6, console=console) == "harmonic"


def test_best_fill_is_that_over_all_kinds_of_holes():
    sets = with_each_kind(
        EXAMPLES,
        {
            "boxes": boxes(height=(0.5, 0.5), width=(0.5, 0.5)),
            "strokes": thin_strokes(width=0.1),
        },
    )

    def good_in(kind, noise):
        """Return a fill with errors in the holes of the other kind only."""
        large = [kind == "boxes"]

        def fill(batch):
            good = (batch["mask"].sum((1, 2, 3)) == 64) == large
            error = np.where(good, 1e-3, noise)[:, None, None, None]
            return (batch["image"] + error * batch["mask"]).astype(np.float32)

        return fill

    methods = {"boxes": good_in("boxes", 0.5), "strokes": good_in("strokes", 0.1)}
    for some, best in (
        ([sets["boxes"]], "boxes"),
        ([sets["boxes"], sets["strokes"]], "strokes"),
    ):
        console = Console(quiet=True)
        assert best_fill(some, methods, batch_size=6, console=console) == best


def test_pictures_differ_and_kinds_of_holes_take_turns():
    large = boxes(height=(0.5, 0.5), width=(0.5, 0.5))
    sets = with_each_kind(EXAMPLES, {"free-form": FreeFormHoles(), "boxes": large})
    batch = different_pictures([*sets.values()], of_each=2)
    assert len({image.tobytes() for image in batch["image"]}) == 4
    sizes = batch["mask"].sum((1, 2, 3))
    assert [size == 64 for size in sizes.tolist()] == [False, True, False, True]


def test_no_picture_is_repeated_where_a_test_set_is_small():
    batch = different_pictures([EXAMPLES, EXAMPLES], of_each=100)
    assert len({image.tobytes() for image in batch["image"]}) == len(EXAMPLES)
    assert len(batch["image"]) == len(EXAMPLES)


@pytest.mark.parametrize("name", ["sheet.webp", "sheet", "file/sheet.png", ""])
def test_output_is_checked_before_anything_is_loaded(tmp_path, name):
    (tmp_path / "file").touch()
    config = DrawComparison(
        carafe=tmp_path / "none", plain=tmp_path / "none", output=tmp_path / name
    )
    with pytest.raises(RefusedError, match="`output` must"):
        main(config, Console(quiet=True))


def test_empty_batches_are_refused(tmp_path):
    with pytest.raises(RefusedError, match="`batch_size` must be positive, got 0"):
        DrawComparison(carafe=tmp_path, plain=tmp_path, output=tmp_path, batch_size=0)


def test_sheet_has_whole_pixels_of_the_pictures():
    truth = different_pictures([EXAMPLES], of_each=2)
    sheet = draw_sheet(truth, {"some": lambda batch: 0 * batch["image"]}, scale=5)
    # Input, fill, truth; a line of text above all and below each row.
    assert sheet.size == (3 * (5 * 16 + 4) - 4, 26 + 2 * (5 * 16 + 24) - 4)
    # The fill is grey, but not its caption.
    fill = np.asarray(sheet)[26 : 26 + 80, 84 : 84 + 80]
    assert (fill == 128).all()
