"""Label maps of two networks side by side."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.segmentation import (
    LabelClasses,
    PhotographLabels,
    SegmentationData,
)
from experiments.segmentation.comparison import report
from experiments.segmentation.draw_comparison import DrawComparison, main
from tests.tasks.segmentation.drawn_folder import CLASSES, drawn_folder

QUIET = Console(quiet=True)
COLOURS = ((0, 0, 250), (0, 250, 0), (250, 0, 0), (9, 9, 9))


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """A network that finds one class at all pixels."""

    data: SegmentationData
    label: int
    classes: LabelClasses = LabelClasses(CLASSES, COLOURS)

    def segment(self, photograph):
        return PhotographLabels(
            labels=np.full(photograph.shape[:2], self.label, np.uint8),
            classes=self.classes.names,
            palette=np.array(self.classes.palette, np.uint8),
        )


@pytest.fixture
def folder(tmp_path):
    return drawn_folder(tmp_path / "drawn", val=3, test=2)


@pytest.fixture
def runs(folder, monkeypatch):
    """Networks by the name of their run, which tests may replace."""
    data = SegmentationData(source=str(folder))
    made = {"carafe": Segmenter(data, 1), "plain": Segmenter(data, 0)}
    monkeypatch.setattr(report, "load", lambda run, which, argument: made[run.name])
    return made


def draw(tmp_path, **fields) -> np.ndarray:
    config = DrawComparison(
        carafe=pathlib.Path("carafe"),
        plain=pathlib.Path("plain"),
        side=200,
        output=tmp_path / "new" / "sheet.png",
        **fields,
    )
    assert main(config, QUIET) == 0
    with Image.open(config.output) as sheet:
        return np.asarray(sheet)


def pictures(sheet, *, rows, count):
    """Check the size of the sheet; return the first row of pictures, without titles.

    Photographs of 56 x 40 pixels are enlarged to 200 x 143; the legend at the end is
    narrower.
    """
    height, width, _ = sheet.shape
    assert height == 26 + rows * (143 + 4)
    assert count * 204 < width < (count + 1) * 204
    return [sheet[26 : 26 + 143, x * 204 : x * 204 + 200] for x in range(count)]


def test_row_has_the_truth_and_both_label_maps(tmp_path, folder, runs):
    sheet = draw(tmp_path, rows=2)
    photograph, truth, plain, carafe = pictures(sheet, rows=2, count=4)
    for drawn, colour in ((plain, COLOURS[0]), (carafe, COLOURS[1])):
        mixed = 0.4 * photograph + 0.6 * np.array(colour)
        np.testing.assert_allclose(drawn, mixed, atol=0.5)
    with Image.open(folder / "val" / "labels" / "0.png") as file:
        labels = np.asarray(file.resize((200, 143), Image.Resampling.NEAREST))
    # Ignored pixels are black.
    colours = np.array([*COLOURS, *[(0, 0, 0)] * 252])[labels]
    np.testing.assert_allclose(truth, 0.4 * photograph + 0.6 * colours, atol=0.5)


def test_photographs_without_truth_lack_its_column(tmp_path, folder, runs):
    paths = (folder / "val" / "images", folder / "test" / "images" / "1.png")
    sheet = draw(tmp_path, photographs=paths)
    assert len(pictures(sheet, rows=4, count=3)) == 3


def test_all_files_that_are_given_by_name_are_drawn(tmp_path, folder, runs):
    files = [folder / "val" / "images" / f"{index}.png" for index in (2, 0, 1)]
    sheet = draw(tmp_path, photographs=tuple(files), rows=1)
    assert len(pictures(sheet, rows=3, count=3)) == 3
    found = report.read_files(files, rows=1, console=QUIET)
    for example, file in zip(found, files, strict=True):
        with Image.open(file) as image:
            np.testing.assert_array_equal(example.photograph, np.asarray(image))


@pytest.mark.parametrize(("field", "value"), [("source", "a"), ("test_split", "val")])
def test_source_beside_photographs_is_refused(tmp_path, field, value):
    rule = f"`{field}` must be None where `photographs` are drawn .*, got '{value}'"
    with pytest.raises(RefusedError, match=rule):
        draw(tmp_path, photographs=(tmp_path,), **{field: value})


def test_split_of_the_test_set_can_be_chosen(tmp_path, runs):
    assert draw(tmp_path, test_split="test").shape[0] == 26 + 2 * (143 + 4)


def test_networks_of_other_classes_are_refused(tmp_path, runs):
    classes = LabelClasses(("sky", "sea"), COLOURS[:2])
    runs["plain"] = dataclasses.replace(runs["plain"], classes=classes)
    with pytest.raises(RefusedError, match="`plain` must be a run on the classes of"):
        draw(tmp_path)


def test_photographs_that_cannot_be_read_are_left_out(tmp_path, folder, runs):
    (folder / "val" / "images" / "0.png").write_text("none")
    console = Console(record=True, width=300)
    files = [folder / "val" / "images"]
    assert len(report.read_files(files, rows=9, console=console)) == 2
    assert "Left out: cannot read" in console.export_text()
    with pytest.raises(RefusedError, match=r"`photographs` must .* be read, got 1"):
        report.read_files(files, rows=1, console=QUIET)


def test_output_that_is_no_picture_is_refused_before_the_networks_are_loaded(tmp_path):
    paths = {"carafe": tmp_path, "plain": tmp_path, "output": tmp_path / "sheet.txt"}
    with pytest.raises(RefusedError, match=r"`output` must end in .*sheet\.txt'"):
        main(DrawComparison(**paths), QUIET)


def test_folder_without_a_run_is_refused_by_its_option(tmp_path):
    paths = {"carafe": tmp_path, "plain": tmp_path, "output": tmp_path / "sheet.png"}
    with pytest.raises(RefusedError, match="`plain` must be the folder of a run"):
        main(DrawComparison(**paths), QUIET)


def test_no_rows_are_refused(tmp_path):
    paths = {"carafe": tmp_path, "plain": tmp_path, "output": tmp_path}
    with pytest.raises(RefusedError, match="`rows` must"):
        DrawComparison(**paths, rows=0)
