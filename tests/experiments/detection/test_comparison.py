"""Pictures of two detectors side by side."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD
from carafe_jax.errors import RefusedError
from carafe_jax.models.detection import FasterRCNN
from carafe_jax.models.detection.settings import STRIDES
from carafe_jax.tasks.detection import (
    Categories,
    DetectionData,
    PhotographDetections,
    TrainedDetector,
)
from experiments.detection.comparison import report
from experiments.detection.comparison.pyramids import activation_maps, draw_pyramids
from experiments.detection.draw_comparison import DrawComparison, main
from tests import tiny_detectors
from tests.tasks.detection.drawn_folder import drawn_folder
from tests.tasks.detection.small_set import EMPTY, SmallSet

QUIET = Console(quiet=True)


def found_in(photograph, *, score=0.9):
    """Return a detection in the middle of a photograph."""
    height, width, _ = photograph.shape
    return PhotographDetections(
        boxes=np.array([[0.25, 0.25, 0.75, 0.75]]) * ([width, height] * 2),
        scores=np.array([score]),
        labels=np.array([0]),
        names=("square",),
        size=(height, width),
        encoded_masks=None,
    )


@dataclasses.dataclass(frozen=True)
class Detector:
    """A detector that finds one object in the middle of any photograph."""

    data: DetectionData
    score: float

    def with_limits(self, *, score_threshold, max_detections):
        assert (score_threshold, max_detections) == (0.25, 100)
        return self

    def detect(self, photograph):
        return found_in(photograph, score=self.score)


def random_maps(seed):
    rng = np.random.default_rng(seed)
    return tuple(rng.random((16 >> n, 24 >> n)) * seed for n in range(4))


def test_both_pictures_of_a_folder_are_written(tmp_path, monkeypatch):
    data = DetectionData(source=str(drawn_folder(tmp_path / "drawn")))
    scores = {"carafe": 0.9, "plain": 0.3}
    monkeypatch.setattr(
        report, "load", lambda run, which, argument: Detector(data, scores[run.name])
    )
    monkeypatch.setattr(
        report, "activation_maps", lambda _, photos: [random_maps(1) for _ in photos]
    )
    config = DrawComparison(
        carafe=tmp_path / "carafe",
        plain=tmp_path / "plain",
        score_threshold=0.25,
        side=120,
        rows=5,
        output=tmp_path / "out",
    )
    assert main(config, QUIET) == 0
    with Image.open(tmp_path / "out" / "detections.png") as sheet:
        # Two photographs of 56 x 60 pixels; both networks, and the truth.
        assert sheet.size == (3 * 120 + 2 * 4, 26 + 2 * (112 + 4))
    with Image.open(tmp_path / "out" / "pyramids.png") as picture:
        assert picture.width > 1000


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Return the fields of two runs on a folder with a split `test`, too."""
    folder = drawn_folder(tmp_path / "drawn")
    shutil.copytree(folder / "train", folder / "test")
    annotations = folder / "annotations"
    shutil.copy(
        annotations / "instances_train.json", annotations / "instances_test.json"
    )
    detector = Detector(DetectionData(source=str(folder)), 0.9)
    monkeypatch.setattr(report, "load", lambda run, which, argument: detector)
    monkeypatch.setattr(
        report, "activation_maps", lambda _, photos: [random_maps(1) for _ in photos]
    )
    paths = {name: tmp_path / name for name in ("carafe", "plain", "output")}
    return {**paths, "score_threshold": 0.25, "side": 120, "rows": 5}


def test_split_of_the_test_set_can_be_chosen(tmp_path, runs):
    assert main(DrawComparison(**runs, test_split="test"), QUIET) == 0
    with Image.open(tmp_path / "output" / "detections.png") as sheet:
        assert sheet.height == 26 + 4 * (112 + 4)


@pytest.mark.parametrize("argument", ["photographs", "source"])
def test_unreadable_photographs_are_refused_by_what_chose_them(
    tmp_path, runs, argument
):
    files = sorted((tmp_path / "drawn" / "val").iterdir())
    for file in files:
        file.write_text("none")
    names = tuple(map(str, files)) if argument == "photographs" else ()
    with pytest.raises(RefusedError, match=f"`{argument}` must have .* be read, got 2"):
        main(DrawComparison(**runs, photographs=names), QUIET)


def test_names_choose_photographs_and_others_are_refused():
    images = SmallSet()
    assert report.choose(images, ["3.png", "0.png"], rows=1) == [3, 0]
    with pytest.raises(RefusedError, match=r"`photographs` must be .*, got 'x\.png'"):
        report.choose(images, ["0.png", "x.png"], rows=1)


def test_photographs_have_objects_and_are_from_all_over_the_set():
    assert report.choose(SmallSet(), [], rows=3) == [0, 1, 4]
    everything = report.choose(SmallSet(), [], rows=100)
    assert everything == [x for x in range(len(SmallSet())) if x != EMPTY]


def test_detections_are_left_of_the_truth():
    images = SmallSet()
    photograph = np.asarray(images.open(0))
    found = {"some": [found_in(photograph)], "the same": [found_in(photograph)]}
    sheet = report.draw_sheet(images, {0: photograph}, found, side=90)
    assert sheet.shape == (26 + 60 + 4, 3 * 94 - 4, 3)
    some, same, truth = (sheet[26:86, left : left + 90] for left in (0, 94, 188))
    np.testing.assert_array_equal(some, same)
    assert (some != truth).any()


@pytest.mark.parametrize(
    ("field", "value"), [("rows", 0), ("side", 0), ("score_threshold", 1.0)]
)
def test_fields_out_of_range_are_refused(tmp_path, field, value):
    paths = {"carafe": tmp_path, "plain": tmp_path, "output": tmp_path}
    with pytest.raises(RefusedError, match=f"`{field}` must"):
        DrawComparison(**paths, **{field: value})


def test_output_is_checked_before_anything_is_loaded(tmp_path):
    (tmp_path / "file").touch()
    none = tmp_path / "none"
    config = DrawComparison(carafe=none, plain=none, output=tmp_path / "file" / "out")
    with pytest.raises(RefusedError, match="`output` must"):
        main(config, QUIET)


class Strided(FasterRCNN):
    """A detector whose pyramid holds pixels of the image."""

    def extract(self, images, train=False):
        return tuple(images[:, ::stride, ::stride] for stride in STRIDES)


def test_maps_have_the_size_of_the_photograph_and_a_mean_of_one():
    parts = tiny_detectors.faster_rcnn()
    network = Strided(parts.backbone, parts.fpn, parts.rpn, parts.box_head)
    detector = TrainedDetector(
        network=network,
        variables={},
        name="strided",
        dtype="float32",
        categories=Categories(("square",), (1,)),
        data=DetectionData(source="none", short_side=64, long_side=64),
        step=None,
    )
    photograph = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    (maps,) = activation_maps(detector, [photograph])
    assert [x.shape for x in maps] == [(8, 16), (4, 8), (2, 4), (1, 2)]
    pixels = (photograph - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    for level, stride in zip(maps, STRIDES, strict=False):
        np.testing.assert_allclose(level.mean(), 1, rtol=1e-5)
        expected = np.sqrt((pixels[::stride, ::stride] ** 2).mean(-1))
        np.testing.assert_allclose(level, expected / expected.mean(), rtol=1e-5)


def test_each_level_has_one_colour_scale_for_all_networks():
    pictures = [np.zeros((32, 48, 3), np.uint8)] * 2
    names = ("plain", "CARAFE++")
    figure = draw_pyramids(
        dict.fromkeys(names, pictures),
        {name: [random_maps(seed)] * 2 for seed, name in enumerate(names, 1)},
    )
    panels = np.array(figure.axes[:20], object).reshape(4, 5)
    assert [line[0].get_ylabel() for line in panels] == [*names] * 2
    for level, column in enumerate(panels[:, 1:].T):
        assert column[0].get_title() == f"P{level + 2}"
        assert len({axis.images[0].get_clim() for axis in column}) == 1
