"""The subcommand detect, with drawn weights."""

import dataclasses
import errno
import io
import json
import os
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from rich.console import Console

from carafe_jax import files
from carafe_jax.cli import detect, progress
from carafe_jax.cli.detect import Detect, main
from carafe_jax.errors import RefusedError
from carafe_jax.run_length_codes import runs_to_rle
from carafe_jax.tasks.detection import loading
from carafe_jax.tasks.detection.coco_file import CocoFile
from carafe_jax.tasks.detection.photograph_files import DetectJob, plan_detections
from carafe_jax.tasks.detection.prediction import PhotographDetections
from tests.cli.test_commands import run
from tests.tasks.photograph_files import files_of, replace, save
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
        assert picture.size == (480, 320)  # A small one is enlarged for its labels.
    with Image.open(config.output / "more" / "deep" / "b.jpg") as picture:
        assert picture.size == (60, 1000)

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
def test_mask_without_a_pixel_is_written(tmp_path, detector):
    empty = runs_to_rle([40 * 60], (40, 60))
    assert empty is not None
    found = PhotographDetections(
        boxes=np.array([[1, 2, 1, 9]], np.float32),
        scores=np.array([0.5], np.float32),
        labels=np.array([1]),
        names=("bee",),
        size=(40, 60),
        encoded_masks=(empty,),
    )
    results = CocoFile(detector.categories, provenance={"weights": "drawn"})
    results.add("a.png", tmp_path / "a.png", found, fingerprint="")
    results.write(tmp_path / "detections.json")
    coco = COCO(tmp_path / "detections.json")
    assert coco.anns[1]["area"] == 0
    assert not coco.annToMask(coco.anns[1]).any()
    job = DetectJob(save(tmp_path / "a.png"), "a.png", tmp_path / "a.jpg", "")
    detect._write_picture(job, found, classes=detector.classes)
    assert job.picture.stat().st_size


@pytest.mark.usefixtures("loaded")
def test_no_object_is_above_a_high_threshold(tmp_path):
    photo = save(tmp_path / "photo.png")
    config = options(tmp_path, photo, score_threshold=0.999, pictures="none")
    status, text = call(main, config)
    assert status == 0
    assert "0 objects in 1 photograph" in text
    assert "No object has a score above 0.999 in any photograph: a lower --sco" in text
    assert files_of(config.output) == {"detections.json"}
    content = json.loads((config.output / "detections.json").read_text())
    assert len(content["images"]) == 1
    assert content["annotations"] == []


def content_of(config):
    return json.loads((config.output / "detections.json").read_text())


@pytest.mark.usefixtures("loaded")
def test_same_command_skips_what_is_finished(tmp_path):
    save(tmp_path / "photos" / "a.png")
    config = options(tmp_path, tmp_path / "photos")
    call(main, config)
    before = (config.output / "a.jpg").stat().st_mtime_ns
    save(tmp_path / "photos" / "b.png", seed=1)
    status, text = call(main, config)
    assert status == 0
    assert "in 2 photographs, by tiny" in text
    assert "skipped, as they were finished: 1" in text
    assert (config.output / "a.jpg").stat().st_mtime_ns == before
    images = content_of(config)["images"]
    assert [x["file_name"] for x in images] == ["a.png", "b.png"]
    call(main, dataclasses.replace(config, overwrite=True))
    assert (config.output / "a.jpg").stat().st_mtime_ns != before


def detections_of(config, name):
    content = content_of(config)
    (image,) = (x for x in content["images"] if x["file_name"] == name)
    return [
        {key: x for key, x in found.items() if key not in ("id", "image_id")}
        for found in content["annotations"]
        if found["image_id"] == image["id"]
    ]


@pytest.mark.parametrize("first_pictures", ["drawn", "none"])
@pytest.mark.usefixtures("loaded")
def test_replaced_photograph_is_detected_in_again(tmp_path, first_pictures):
    photo = save(tmp_path / "photos" / "a.png")
    save(tmp_path / "photos" / "b.png", seed=1)
    config = options(tmp_path, tmp_path / "photos", pictures="none")
    call(main, dataclasses.replace(config, pictures="drawn"))
    replace(photo, (48, 64), seed=2)
    expected = dataclasses.replace(config, output=tmp_path / "new", pictures="drawn")
    call(main, expected)
    status, text = call(main, dataclasses.replace(config, pictures=first_pictures))
    assert status == 0
    assert "in 2 photographs, by tiny" in text
    assert "skipped, as they were finished: 1" in text
    assert (config.output / "a.jpg").exists() == (first_pictures == "drawn")
    call(main, dataclasses.replace(config, pictures="drawn"))
    for name in ("a", "b"):
        found = detections_of(config, f"{name}.png")
        assert found == detections_of(expected, f"{name}.png") != []
        picture = (config.output / f"{name}.jpg").read_bytes()
        assert picture == (expected.output / f"{name}.jpg").read_bytes()


@pytest.mark.usefixtures("loaded")
def test_replaced_photograph_that_is_no_image_keeps_no_result(tmp_path):
    photo = save(tmp_path / "a.png")
    config = options(tmp_path, photo)
    call(main, config)
    photo.write_bytes(b"no image")
    status, text = call(main, config)
    assert status == 1
    assert "0 objects in 0 photographs" in text
    assert "not detected: 1" in text
    assert files_of(config.output) == {"detections.json"}


@pytest.mark.usefixtures("loaded")
def test_photograph_of_which_no_fingerprint_is_recorded_is_detected_in_again(tmp_path):
    config = options(tmp_path, save(tmp_path / "a.png"))
    call(main, config)
    content = content_of(config)
    earlier = {**content, "images": [dict(x) for x in content["images"]]}
    for image in earlier["images"]:
        del image["fingerprint"]
    (config.output / "detections.json").write_text(json.dumps(earlier))
    status, text = call(main, config)
    assert (status, "skipped" in text) == (0, False)
    assert content_of(config) == content


@pytest.mark.usefixtures("loaded")
def test_finished_photographs_are_skipped_if_another_path_is_given(tmp_path):
    for name in ("photos", "more"):
        save(tmp_path / name / f"{name}.png")
    alone = options(tmp_path, tmp_path / "photos")
    both = options(tmp_path, tmp_path / "photos", tmp_path / "more")
    for config, skipped in ((alone, 0), (both, 1), (alone, 1), (both, 2)):
        status, text = call(main, config)
        assert (status, f"finished: {skipped}" in text) == (0, skipped > 0)
    images = content_of(both)["images"]
    assert [x["file_name"] for x in images] == ["photos.png", "more/more.png"]


@pytest.mark.usefixtures("loaded")
def test_pictures_of_others_are_overwritten_on_request_alone(tmp_path):
    photo = save(tmp_path / "photo.png")
    save(tmp_path / "out" / "photo.jpg")
    config = options(tmp_path, photo)
    with pytest.raises(RefusedError, match=r"must not hold .*photo\.jpg' and 0 others"):
        main(config, Console(quiet=True))
    assert call(main, dataclasses.replace(config, pictures="none"))[0] == 0
    again = dataclasses.replace(config, overwrite=True)
    assert call(main, again)[0] == 0


@pytest.mark.usefixtures("loaded")
def test_overwriting_deletes_pictures_of_every_option_and_name_first(tmp_path):
    save(tmp_path / "photos" / "a.png")
    alone = options(tmp_path, tmp_path / "photos")
    call(main, alone)
    save(alone.output / "other.jpg")
    call(main, dataclasses.replace(alone, pictures="none", overwrite=True))
    assert files_of(alone.output) == {"detections.json", "other.jpg"}
    call(main, alone)
    given = tmp_path / "photos", save(tmp_path / "b.png", seed=1)
    call(main, options(tmp_path, *given, overwrite=True))
    pictures = {"photos/a.jpg", "b.jpg", "other.jpg"}
    assert files_of(alone.output) == {"detections.json", *pictures}


@pytest.mark.usefixtures("loaded")
def test_interrupted_new_start_leaves_no_earlier_picture(tmp_path, monkeypatch):
    config = options(tmp_path, save(tmp_path / "a.png"))
    call(main, config)
    picture = config.output / "a.jpg"
    expected = picture.read_bytes()
    save(picture)

    def interrupt(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # After the detections are recorded, before they are drawn.
        patch.setattr(detect, "decode_photograph", interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(dataclasses.replace(config, overwrite=True), Console(quiet=True))
    assert not picture.exists()
    call(main, config)
    assert picture.read_bytes() == expected


@pytest.mark.parametrize("pictures", ["drawn", "none"])
@pytest.mark.usefixtures("loaded")
def test_finished_photograph_is_no_problem_if_another_of_its_name_is_added(
    tmp_path, pictures
):
    first, second = (save(tmp_path / name / "x.jpg") for name in ("a", "b"))
    call(main, options(tmp_path, first.parent, pictures=pictures))
    both = options(tmp_path, first.parent, second, pictures=pictures)
    status, text = call(main, both)
    assert status == 1
    assert "finished: 1; not detected: 1" in text
    assert f"Not detected: {second}: " in text
    assert "has another photograph of its name" in text


@pytest.mark.usefixtures("loaded")
def test_given_photograph_in_the_output_folder_is_refused(tmp_path):
    photo = save(tmp_path / "photo.png")
    with pytest.raises(RefusedError, match="`output` must be another folder than"):
        main(options(tmp_path, photo, output=tmp_path), Console(quiet=True))


@pytest.mark.parametrize("moment", ["detected", "recorded", "killed"])
@pytest.mark.usefixtures("loaded")
def test_interrupted_command_continues(tmp_path, monkeypatch, moment):
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        save(tmp_path / "photos" / name, seed=seed)
    whole = options(tmp_path, tmp_path / "photos", output=tmp_path / "whole")
    call(main, whole)
    config = options(tmp_path, tmp_path / "photos")

    def interrupt(*args, **fields):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        read = detect.decode_photograph
        if moment == "killed":
            # Without a chance to write what was detected.
            patch.setattr(CocoFile, "add", lambda *args, **fields: None)
        if moment == "detected":
            shown = progress.track
            patch.setattr(
                progress, "track", lambda found, **_: shown(one_and(found, interrupt))
            )
        else:
            calls = iter([read, interrupt])
            patch.setattr(detect, "decode_photograph", lambda path: next(calls)(path))
        recorder = Console(record=True, width=200, file=io.StringIO())
        with pytest.raises(KeyboardInterrupt):
            main(config, recorder)
    text = recorder.export_text()
    if moment != "killed":
        assert "Detected in 1 of 3 photographs, written to" in text
        assert "Repeat the command to continue." in text
    status, text = call(main, config)
    assert status == 0
    assert ("were finished: 1" in text) == (moment != "killed")
    assert content_of(config) == content_of(whole)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        assert (config.output / name).read_bytes() == (whole.output / name).read_bytes()


def one_and(found, interrupt):
    yield next(iter(found))
    interrupt()


@pytest.mark.usefixtures("loaded")
def test_detections_are_written_while_others_are_made(tmp_path, monkeypatch):
    save(tmp_path / "photo.png")
    config = options(tmp_path, tmp_path / "photo.png")
    monkeypatch.setattr(detect, "_WRITE_EVERY", 0.0)
    seen = []
    write = CocoFile.write

    def recorded(self, path):
        write(self, path)
        seen.append(self.photographs)

    monkeypatch.setattr(CocoFile, "write", recorded)
    call(main, config)
    assert seen == [0, 1, 1]


@pytest.mark.usefixtures("loaded")
def test_detections_with_other_options_are_not_mixed(tmp_path, detector, monkeypatch):
    save(tmp_path / "photo.png")
    config = options(tmp_path, tmp_path / "photo.png", pictures="none")
    call(main, config)
    other = dataclasses.replace(config, max_detections=9)
    with pytest.raises(RefusedError, match=r"got max_detections 10, now 9\. --overwri"):
        main(other, Console(quiet=True))
    weights = jax.tree.map(lambda x: x + 1, detector.variables)
    trained_on = dataclasses.replace(detector, variables=weights, step=8)
    monkeypatch.setattr(detect, "load", lambda model, *, which: trained_on)
    with pytest.raises(RefusedError, match=r"got step 7, now 8; weights '.*', now '"):
        main(config, Console(quiet=True))


@pytest.mark.usefixtures("loaded")
def test_another_photograph_of_a_recorded_name_is_left_out(tmp_path):
    first, second = (save(tmp_path / name / "a.png") for name in ("one", "two"))
    call(main, options(tmp_path, first))
    status, text = call(main, options(tmp_path, second))
    assert status == 1
    assert "detections.json has another photograph of its name, " in text
    third = save(tmp_path / "two" / "a.bmp")  # Its picture would be a.jpg, too.
    assert call(main, options(tmp_path, third))[0] == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"info": {}, "images": [], "annotations": []}', "\0"]
)
def test_file_of_another_program_is_kept(tmp_path, text):
    photo = save(tmp_path / "photo.png")
    config = options(tmp_path, photo)
    config.output.mkdir()
    (config.output / "detections.json").write_text(text)
    with pytest.raises(RefusedError, match=r"`output` must hold no file of another"):
        main(config, Console(quiet=True))
    assert (config.output / "detections.json").read_text() == text


def test_output_is_created_before_the_network_is_loaded(tmp_path, monkeypatch):
    photo = save(tmp_path / "photo.png")

    def load(model, *, which):
        assert (tmp_path / "out").is_dir()
        raise RefusedError("loaded")

    monkeypatch.setattr(detect, "load", load)
    with pytest.raises(RefusedError, match="loaded"):
        main(options(tmp_path, photo), Console(quiet=True))

    def refuse(**fields):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(RefusedError, match=r"`output` must be .*: Read-only file syst"):
        main(options(tmp_path, photo), Console(quiet=True))


def test_errors_name_the_options(tmp_path, capsys):
    photo, model = str(save(tmp_path / "photo.png")), str(tmp_path)
    base = ["detect", photo, "-o", str(tmp_path / "out")]
    for more, message in (
        (["--model", model, "--score-threshold", "1.5"], "--score-threshold` must lie"),
        (["--model", model, "--max-detections", "0"], "--max-detections` must be po"),
        ([], "One of `--model`, the folder of a run, and `--mmdetection`, a checkpoin"),
        (["--model", str(tmp_path / "none")], "`--model` must be"),
    ):
        status, text = run([*base, *more], capsys)
        assert status == 2
        assert message in text
    status, text = run(["detect", "none.png", *base[2:], "--model", model], capsys)
    assert status == 2
    assert "`PHOTO` must exist, got 'none.png'" in text


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


def test_photographs_that_would_be_recorded_under_one_name_are_left_out(tmp_path):
    given = [save(tmp_path / name / "x.jpg") for name in ("a", "b")]
    found = plan_detections(
        given, output=tmp_path / "out", overwrite=False, pictures=False
    )
    assert not found.jobs
    reason = found.problems[given[0]]
    assert "name in detections.json would be x.jpg, like that of 1 other" in reason


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
