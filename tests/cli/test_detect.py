"""The subcommand detect, with drawn weights."""

import dataclasses
import json
import os
import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from rich.console import Console

from carafe_jax.cli import detect
from carafe_jax.cli.detect import Detect, main
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection import loading
from carafe_jax.tasks.detection.photograph_files import plan_detections
from tests.tasks.runs import call
from tests.tiny_trained_detector import tiny_trained_detector


@pytest.fixture(scope="module")
def detector():
    return tiny_trained_detector()


@pytest.fixture
def loaded(detector, monkeypatch):
    """Let every folder be that of a run."""

    def load(model, *, which):
        return detector

    monkeypatch.setattr(detect, "load", load)


def save(path, size=(40, 60), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    Image.fromarray(pixels).resize(size[::-1]).save(path)
    return path


def options(tmp_path, *photographs, **fields):
    return Detect(
        **{
            "photographs": photographs,
            "output": tmp_path / "out",
            "model": tmp_path,
            # The limits of the detector itself, so that its program serves all tests.
            "score_threshold": 0.05,
            "max_detections": 10,
            **fields,
        }
    )


def files_of(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.usefixtures("loaded")
def test_pictures_and_a_file_for_coco_are_written(tmp_path, detector):
    first = save(tmp_path / "photo.jpg")
    save(tmp_path / "more" / "deep" / "b.png", size=(500, 30), seed=1)
    (tmp_path / "more" / "broken[x].jpg").write_bytes(b"no image")
    config = options(tmp_path, first, tmp_path / "more")
    status, text = call(main, config)
    assert status == 1
    assert "Not detected: cannot read " in text
    assert "broken[x].jpg': cannot identify image file" in text
    assert "in 2 photographs, by tiny Mask R-CNN. Written to" in text
    assert "not detected: 1" in text
    written = {"photo.jpg", "more/deep/b.jpg", "detections.json"}
    assert files_of(config.output) == written
    with Image.open(config.output / "photo.jpg") as picture:
        assert picture.size == (360, 240)  # A small one is enlarged for its labels.
    with Image.open(config.output / "more" / "deep" / "b.jpg") as picture:
        assert picture.size == (30, 500)

    coco = COCO(config.output / "detections.json")
    assert {x["id"]: x["name"] for x in coco.cats.values()} == {
        2: "ant",
        5: "bee",
        9: "cow",
    }
    image = coco.imgs[1]
    assert (image["file_name"], image["height"], image["width"]) == (
        "photo.jpg",
        40,
        60,
    )
    assert coco.imgs[2]["file_name"] == "more/deep/b.png"
    expected = detector.detect(first)
    found: Any = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert len(found) == len(expected) > 0
    for index, annotation in enumerate(found):
        x1, y1, x2, y2 = expected.boxes[index].tolist()
        assert annotation["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=1e-4)
        assert annotation["score"] == pytest.approx(float(expected.scores[index]))
        assert coco.cats[annotation["category_id"]]["name"] == expected.names[index]
        assert expected.masks is not None
        mask = coco.annToMask(annotation)
        np.testing.assert_array_equal(mask, expected.masks[index])
        assert annotation["area"] == mask.sum()


@pytest.mark.usefixtures("loaded")
def test_no_object_is_above_a_high_threshold(tmp_path):
    photo = save(tmp_path / "photo.png")
    config = options(tmp_path, photo, score_threshold=0.999, pictures="none")
    status, text = call(main, config)
    assert status == 0
    assert "0 objects in 1 photograph" in text
    assert files_of(config.output) == {"detections.json"}
    content = json.loads((config.output / "detections.json").read_text())
    assert len(content["images"]) == 1
    assert content["annotations"] == []


@pytest.mark.usefixtures("loaded")
def test_existing_files_are_overwritten_on_request_alone(tmp_path):
    photo = save(tmp_path / "photo.png")
    config = options(tmp_path, photo)
    assert call(main, config)[0] == 0
    with pytest.raises(RefusedError, match=r"`output` must not exist, .*\.json"):
        main(config, Console(quiet=True))
    (config.output / "detections.json").unlink()
    with pytest.raises(RefusedError, match=r"must not hold .*photo\.jpg' and 0 others"):
        main(config, Console(quiet=True))
    again = dataclasses.replace(config, overwrite=True)
    assert call(main, again)[0] == 0


@pytest.mark.usefixtures("loaded")
def test_interrupted_command_keeps_what_it_has_detected(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        save(tmp_path / "photos" / name)
    draw = detect.draw_detections

    def interrupt(*args, **fields):
        if (tmp_path / "out" / "a.jpg").exists():
            raise KeyboardInterrupt
        return draw(*args, **fields)

    monkeypatch.setattr(detect, "draw_detections", interrupt)
    with pytest.raises(KeyboardInterrupt):
        main(options(tmp_path, tmp_path / "photos"), Console(quiet=True))
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert content["images"][0]["file_name"] == "a.png"


def plan(*given, output, overwrite=False):
    return plan_detections(given, output=output, overwrite=overwrite)


def test_names_of_one_folder_are_kept_and_those_of_several_are_told_apart(tmp_path):
    for folder in ("one", "two"):
        save(tmp_path / folder / "sub" / "a.png")
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "out"
    (job,) = plan(one, output=output).jobs
    assert (job.name, job.picture) == ("sub/a.png", output / "sub" / "a.jpg")
    jobs = plan(one, two, one / "sub" / "a.png", output=output).jobs
    # The third is the first once more.
    assert [job.name for job in jobs] == ["one/sub/a.png", "two/sub/a.png"]


def test_photographs_whose_pictures_would_have_one_name_are_left_out(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        save(tmp_path / "photos" / name)
    found = plan(tmp_path / "photos", output=tmp_path / "out")
    assert [job.name for job in found.jobs] == ["b.png"]
    assert {path.name for path in found.problems} == {"a.png", "a.jpg"}
    (reason, _) = found.problems.values()
    assert "like that of 1 other photograph" in reason


def test_images_in_the_output_folder_are_no_photographs(tmp_path):
    save(tmp_path / "photos" / "a.png")
    save(tmp_path / "photos" / "out" / "old.jpg")
    found = plan(tmp_path / "photos", output=tmp_path / "photos" / "out")
    assert [job.name for job in found.jobs] == ["a.png"]
    assert found.inside_output == 1
    with pytest.raises(RefusedError, match="`output` must be another folder than that"):
        plan(tmp_path / "photos", output=tmp_path / "photos")


def test_pictures_that_cannot_be_written_are_named(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / "photos" / name)
    (tmp_path / "out" / "a.jpg").mkdir(parents=True)
    found = plan(tmp_path / "photos", output=tmp_path / "out", overwrite=True)
    assert [job.name for job in found.jobs] == ["b.png"]
    assert "must be a file, got the folder" in next(iter(found.problems.values()))


def test_missing_and_empty_paths_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="`photographs` must exist"):
        plan(tmp_path / "none.jpg", output=tmp_path / "out")
    with pytest.raises(RefusedError, match="`photographs` must hold an image"):
        plan(tmp_path / "empty", output=tmp_path / "out")
    assert not os.path.exists(tmp_path / "out")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"photographs": ()}, "`photographs` must name at least one"),
        ({"score_threshold": 1.0}, r"`score_threshold` must lie in \[0, 1\)"),
        ({"max_detections": 0}, "`max_detections` must be positive, got 0"),
        ({"batch_size": 0}, "`batch_size` must be positive, got 0"),
        ({"model": None}, "One of `model`, .* must be given, got neither"),
        ({"config": "mask_rcnn_r50_fpn_1x_coco"}, "`config` must be given with `mmdet"),
        ({"mmdetection": "given"}, "One of `model`, .* must be given, got both"),
        (
            {"model": None, "mmdetection": "given"},
            "`config` must be given with `mmdetection`, .* got None",
        ),
        ({"classes": ("ant",)}, "`classes` must be given with `mmdetection` alone"),
    ],
)
def test_options_that_break_a_rule_are_refused(tmp_path, fields, words):
    if "mmdetection" in fields:
        fields = {**fields, "mmdetection": tmp_path / "file.pth"}
    with pytest.raises(RefusedError, match=words):
        options(tmp_path, tmp_path, **fields)


def test_errors_of_a_checkpoint_name_the_options(tmp_path, monkeypatch):
    """Each option that an error names is one of the command line."""
    fields: dict[str, Any] = {
        "model": None,
        "mmdetection": tmp_path / "a.npz",
        "config": "faster_rcnn_r50_fpn_1x_coco",
    }
    config = options(tmp_path, save(tmp_path / "photo.png"), **fields)
    with pytest.raises(RefusedError, match=r"^`mmdetection` must be a file that exist"):
        main(config, Console(quiet=True))
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    with pytest.raises(RefusedError, match=r"a\.npz: `state_dict` must have the names"):
        main(config, Console(quiet=True))
    weights = {"params": {"box_head": {"logits": {"bias": np.zeros(4)}}}}
    monkeypatch.setattr(loading, "mmdetection_to_flax", lambda state: weights)
    with pytest.raises(RefusedError, match=r"`classes` must name the 3 classes of .*"):
        main(config, Console(quiet=True))
    config = dataclasses.replace(config, classes=("ant", "bee", "cow"))
    with pytest.raises(RefusedError, match=r"`config` must be the configuration that"):
        main(config, Console(quiet=True))


def test_very_large_photograph_is_detected_but_has_no_picture(tmp_path, detector):
    found = dataclasses.replace(
        detector.detect(np.zeros((8, 8, 3), np.uint8)), size=(70_000, 8)
    )
    save(tmp_path / "photo.png")
    (job,) = plan(tmp_path / "photo.png", output=tmp_path / "out").jobs
    with pytest.raises(RefusedError, match="cannot be a JPEG of 8 x 70000 pixels"):
        detect._write_picture(job, found, classes=detector.classes)


@pytest.mark.usefixtures("loaded")
def test_names_that_are_no_utf_8_are_written_in_escapes(tmp_path):
    path = save(tmp_path / "a.png")
    shutil.move(path, tmp_path / "b\udce9.png")
    config = options(tmp_path, tmp_path / "b\udce9.png")
    status, _ = call(main, config)
    assert status == 0
    content = json.loads((config.output / "detections.json").read_text("utf-8"))
    assert content["images"][0]["file_name"] == "b\\xe9.png"
