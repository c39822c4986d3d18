"""The subcommand segment, with drawn weights."""

import dataclasses
import io
import os
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.cli import segment
from carafe_jax.cli.segment import Segment, main
from carafe_jax.errors import RefusedError
from carafe_jax.tasks import pictures
from carafe_jax.tasks.segmentation import photograph_files
from carafe_jax.tasks.segmentation.views import Views
from tests.cli.test_commands import run
from tests.tasks.photograph_files import files_of, replace, save
from tests.tasks.runs import call
from tests.tiny_trained_segmenter import CLASSES, tiny_trained_segmenter


@pytest.fixture(scope="module")
def segmenter():
    return tiny_trained_segmenter()


@pytest.fixture
def loaded(segmenter, monkeypatch):
    """Let every folder be that of a run."""

    def load(model, *, which, views):
        return segmenter

    monkeypatch.setattr(segment, "load", load)


def options(tmp_path, *photographs, **fields: Any):
    return Segment(
        **{
            "photographs": photographs,
            "output": tmp_path / "out",
            "model": tmp_path,
            **fields,
        }
    )


@pytest.mark.usefixtures("loaded")
def test_label_maps_and_overlays_are_written(tmp_path, segmenter):
    first = save(tmp_path / "photo.jpg")
    save(tmp_path / "more" / "deep" / "b.png", size=(100, 30), seed=1)
    (tmp_path / "more" / "broken[x].jpg").write_bytes(b"no image")
    config = options(tmp_path, first, tmp_path / "more")
    status, text = call(main, config)
    assert status == 1
    assert "Not segmented: cannot read " in text
    assert "broken[x].jpg': cannot identify image file" in text
    assert "2 photographs segmented by tiny UperNet. Written to" in text
    assert "not segmented: 1" in text
    assert files_of(config.output) == {
        *("photo.png", "photo_overlay.jpg"),
        *("more/deep/b.png", "more/deep/b_overlay.jpg"),
    }
    with Image.open(config.output / "photo.png") as image:
        assert image.mode == "P"
        colours = image.getpalette()
        assert colours is not None
        assert colours[:9] == np.ravel(CLASSES.palette).tolist()
        expected = segmenter.segment(first).labels
        np.testing.assert_array_equal(np.array(image), expected)
    with Image.open(config.output / "more" / "deep" / "b.png") as image:
        assert image.size == (30, 100)


@pytest.mark.usefixtures("loaded")
def test_overlay_is_the_photograph_under_the_colours_of_its_classes(
    tmp_path, segmenter
):
    photo = save(tmp_path / "photo.png", size=(80, 120))
    config = options(tmp_path, photo, opacity=1.0)
    call(main, config)
    labels = segmenter.segment(photo).labels
    with Image.open(config.output / "photo_overlay.jpg") as picture:
        pixels = np.asarray(picture).astype(int)
    # A small one is enlarged; the legend is at its right.
    assert pixels.shape[0] == 5 * 80
    assert pixels.shape[1] > 5 * 120
    drawn = pixels[2::5, 2 : 5 * 120 : 5]
    colours = np.array(CLASSES.palette)[labels]
    # Ringing of JPEG at edges between classes.
    assert np.median(np.abs(drawn - colours)) <= 2
    assert (np.abs(drawn - colours).max(-1) < 40).mean() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
@pytest.mark.usefixtures("loaded")
def test_photographs_of_any_size_have_overlays(tmp_path, size):
    config = options(tmp_path, save(tmp_path / "photo.png", size))
    assert call(main, config)[0] == 0
    with Image.open(config.output / "photo.png") as image:
        assert image.size == size[::-1]


@pytest.mark.usefixtures("loaded")
def test_overlays_are_left_out_on_request(tmp_path):
    config = options(tmp_path, save(tmp_path / "photo.png"), pictures="none")
    assert call(main, config)[0] == 0
    assert files_of(config.output) == {"photo.png"}
    label_map = (config.output / "photo.png").read_bytes()
    drawn = dataclasses.replace(config, pictures="drawn")
    assert call(main, drawn)[0] == 0
    assert files_of(config.output) == {"photo.png", "photo_overlay.jpg"}
    assert (config.output / "photo.png").read_bytes() == label_map


@pytest.mark.usefixtures("loaded")
def test_same_command_skips_what_is_finished(tmp_path):
    save(tmp_path / "photos" / "a.png")
    config = options(tmp_path, tmp_path / "photos")
    call(main, config)
    before = (config.output / "a.png").stat().st_mtime_ns
    save(tmp_path / "photos" / "b.png", seed=1)
    status, text = call(main, config)
    assert status == 0
    assert "1 photograph segmented by tiny" in text
    assert "skipped, as they were finished: 1" in text
    assert (config.output / "a.png").stat().st_mtime_ns == before
    _, text = call(main, dataclasses.replace(config, overwrite=True))
    assert "2 photographs segmented" in text
    assert (config.output / "a.png").stat().st_mtime_ns != before


@pytest.mark.usefixtures("loaded")
def test_command_with_one_more_path_skips_what_is_finished(tmp_path):
    save(tmp_path / "photos" / "a.png")
    alone = options(tmp_path, tmp_path / "photos")
    call(main, alone)
    more = options(tmp_path, tmp_path / "photos", save(tmp_path / "b.png", seed=1))
    for config, segmented, skipped in ((more, 1, 1), (alone, 0, 1), (more, 0, 2)):
        _, text = call(main, config)
        assert f"{segmented} photograph" in text
        assert f"skipped, as they were finished: {skipped}" in text
    assert "photos/a.png" not in files_of(alone.output)


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.usefixtures("loaded")
def test_replaced_photograph_is_segmented_again(tmp_path, more):
    photo = save(tmp_path / "photos" / "a.png")
    config = options(tmp_path, tmp_path / "photos")
    call(main, config)
    replace(photo, (48, 64), seed=2)
    other = save(tmp_path / "photos" / "b.png", seed=1)
    call(main, dataclasses.replace(config, photographs=(other,)))
    if more:
        more_photo = save(tmp_path / "c.png", seed=3)
        config = dataclasses.replace(config, photographs=(other.parent, more_photo))
        call(main, options(tmp_path, more_photo))
    status, text = call(main, config)
    assert status == 0
    assert "1 photograph segmented" in text
    assert f"skipped, as they were finished: {2 if more else 1}" in text
    expected = dataclasses.replace(config, output=tmp_path / "new")
    call(main, expected)
    named = "photos/a" if more else "a"
    for name in (f"{named}.png", f"{named}_overlay.jpg"):
        new = (expected.output / name).read_bytes()
        assert (config.output / name).read_bytes() == new
    # Also where its new files have other names, no earlier ones are left.
    assert ("a.png" in files_of(config.output)) == (not more)
    assert ("a_overlay.jpg" in files_of(config.output)) == (not more)


@pytest.mark.usefixtures("loaded")
def test_photograph_of_which_no_fingerprint_is_recorded_is_segmented_again(
    tmp_path, monkeypatch
):
    def unrecorded(write):
        def write_without(*args, origin, **fields):
            earlier = {key: x for key, x in origin.items() if key != "fingerprint"}
            write(*args, origin=earlier, **fields)

        return write_without

    config = options(tmp_path, save(tmp_path / "a.png"))
    with monkeypatch.context() as patch:
        for name in ("write_label_map", "write_overlay"):
            patch.setattr(segment, name, unrecorded(getattr(segment, name)))
        call(main, config)
    for skipped in (False, True):
        status, text = call(main, config)
        assert (status, "skipped" in text) == (0, skipped)


@pytest.mark.usefixtures("loaded")
def test_overlay_of_a_replaced_photograph_is_deleted_if_none_is_drawn(tmp_path):
    config = options(tmp_path, save(tmp_path / "a.png"))
    call(main, config)
    replace(config.photographs[0], (48, 64), seed=2)
    call(main, dataclasses.replace(config, pictures="none"))
    assert files_of(config.output) == {"a.png"}


@pytest.mark.usefixtures("loaded")
def test_replaced_photograph_does_not_replace_files_of_other_options(tmp_path):
    config = options(tmp_path, save(tmp_path / "a.png"))
    call(main, config)
    before = {x: (config.output / x).read_bytes() for x in files_of(config.output)}
    replace(config.photographs[0], (48, 64), seed=2)
    other = dataclasses.replace(config, opacity=0.5)
    with pytest.raises(RefusedError, match=r"\(opacity 0\.6, now 0\.5\) and 0 others"):
        main(other, Console(quiet=True))
    assert before == {
        x: (config.output / x).read_bytes() for x in files_of(config.output)
    }


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.usefixtures("loaded")
def test_interrupted_command_continues(tmp_path, monkeypatch, overwrite):
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        save(tmp_path / "photos" / name, seed=seed)
    whole = options(tmp_path, tmp_path / "photos", output=tmp_path / "whole")
    call(main, whole)
    config = options(tmp_path, tmp_path / "photos")
    if overwrite:
        call(main, dataclasses.replace(config, opacity=0.5))

    def interrupt(path):
        # What is finished was counted as it was written.
        patch.setattr(photograph_files, "read_origin", None)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # After the label map of the second photograph, before its overlay.
        calls = iter([segment.decode_photograph, interrupt])
        patch.setattr(segment, "decode_photograph", lambda path: next(calls)(path))
        recorder = Console(record=True, width=200, file=io.StringIO())
        with pytest.raises(KeyboardInterrupt):
            main(dataclasses.replace(config, overwrite=overwrite), recorder)
    text = recorder.export_text()
    assert "Segmented 1 of 3 photographs, written to" in text
    command = "the command, without --overwrite," if overwrite else "the command"
    assert f"Repeat {command} to continue." in text
    status, text = call(main, config)
    assert status == 0
    assert "were finished: 1" in text
    assert files_of(config.output) == files_of(whole.output)
    for name in files_of(whole.output):
        assert (config.output / name).read_bytes() == (whole.output / name).read_bytes()


@pytest.mark.usefixtures("loaded")
def test_overwriting_deletes_files_of_every_option_and_name_first(tmp_path):
    save(tmp_path / "photos" / "a.png")
    alone = options(tmp_path, tmp_path / "photos")
    call(main, alone)
    label_map_alone = dataclasses.replace(alone, pictures="none", overwrite=True)
    call(main, label_map_alone)
    assert files_of(alone.output) == {"a.png"}
    call(main, alone)
    given = tmp_path / "photos", save(tmp_path / "b.png", seed=1)
    call(main, options(tmp_path, *given, overwrite=True))
    expected = {"photos/a.png", "photos/a_overlay.jpg", "b.png", "b_overlay.jpg"}
    assert files_of(alone.output) == expected


@pytest.mark.usefixtures("loaded")
def test_overwriting_keeps_files_of_other_photographs_and_programs(tmp_path):
    call(main, options(tmp_path, save(tmp_path / "other" / "a.png")))
    save(tmp_path / "out" / "b_overlay.jpg")
    save(tmp_path / "photos" / "a.png", seed=1)
    given = tmp_path / "photos", save(tmp_path / "b.png", seed=2)
    call(main, options(tmp_path, *given, pictures="none", overwrite=True))
    kept = {"a.png", "a_overlay.jpg", "b_overlay.jpg"}
    assert files_of(tmp_path / "out") == {*kept, "photos/a.png", "b.png"}


@pytest.mark.usefixtures("loaded")
def test_finished_photograph_is_no_problem_if_another_of_its_name_is_added(tmp_path):
    save(tmp_path / "photos" / "a.png")
    config = options(tmp_path, tmp_path / "photos")
    call(main, config)
    save(tmp_path / "photos" / "a.jpg", seed=1)
    status, text = call(main, config)
    assert status == 1
    assert "a.jpg: its label map would be" in text
    assert "finished: 1; not segmented: 1" in text


@pytest.mark.usefixtures("loaded")
def test_given_photograph_in_the_output_folder_is_refused(tmp_path):
    photo = save(tmp_path / "photo.png")
    with pytest.raises(RefusedError, match="`output` must be another folder than"):
        main(options(tmp_path, photo, output=tmp_path), Console(quiet=True))


@pytest.mark.usefixtures("loaded")
def test_files_of_others_are_overwritten_on_request_alone(tmp_path):
    photo = save(tmp_path / "photo.png")
    save(tmp_path / "out" / "photo_overlay.jpg")
    config = options(tmp_path, photo)
    with pytest.raises(RefusedError, match=r"photo_overlay\.jpg' \(of another program"):
        main(config, Console(quiet=True))
    assert files_of(config.output) == {"photo_overlay.jpg"}
    assert call(main, dataclasses.replace(config, overwrite=True))[0] == 0


@pytest.mark.usefixtures("loaded")
def test_files_of_other_networks_options_and_photographs_are_kept(
    tmp_path, segmenter, monkeypatch
):
    config = options(tmp_path, save(tmp_path / "photo.png"))
    call(main, config)
    other = dataclasses.replace(config, opacity=0.5)
    with pytest.raises(RefusedError, match=r"\(opacity 0\.6, now 0\.5\) and 0 others"):
        main(other, Console(quiet=True))
    same_name = options(tmp_path, save(tmp_path / "two" / "photo.png"))
    with pytest.raises(RefusedError, match=r"photo\.png' \(photograph '.*', now '.*'"):
        main(same_name, Console(quiet=True))
    variables = {**segmenter.variables, "more": np.zeros(1)}
    trained_on = dataclasses.replace(segmenter, variables=variables, step=8)
    monkeypatch.setattr(segment, "load", lambda model, *, which, views: trained_on)
    with pytest.raises(RefusedError, match=r"\(step 7, now 8; weights '.*', now '"):
        main(config, Console(quiet=True))
    mirrored = dataclasses.replace(segmenter, views=Views(flip=True))
    monkeypatch.setattr(segment, "load", lambda model, *, which, views: mirrored)
    with pytest.raises(RefusedError, match=r"\(flip by default, now True\)"):
        main(config, Console(quiet=True))


@pytest.mark.usefixtures("loaded")
def test_paths_of_photographs_are_not_published(tmp_path):
    config = options(tmp_path, save(tmp_path / "photo.png"))
    call(main, config)
    for name in files_of(config.output):
        content = (config.output / name).read_bytes()
        assert os.fsencode(tmp_path.name) not in content


@pytest.mark.usefixtures("loaded")
def test_photographs_whose_label_maps_would_have_one_name_are_left_out(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        save(tmp_path / "photos" / name)
    config = options(tmp_path, tmp_path / "photos", pictures="none")
    status, text = call(main, config)
    assert status == 1
    assert files_of(config.output) == {"b.png"}
    assert "its label map would be" in text
    assert "like that of 1 other photograph" in text
    for name in ("a.png", "a.jpg"):
        assert f"Not segmented: {tmp_path / 'photos' / name}: its label map" in text


@pytest.mark.usefixtures("loaded")
def test_overlay_that_is_too_large_is_named_and_its_label_map_kept(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(pictures, "_LARGEST_SIDE", 300)
    config = options(tmp_path, save(tmp_path / "photo.png"))
    status, text = call(main, config)
    assert status == 1
    assert "its picture cannot be a JPEG of" in text
    assert files_of(config.output) == {"photo.png"}


def test_output_is_created_before_the_network_is_loaded(tmp_path, monkeypatch):
    photo = save(tmp_path / "photo.png")

    def load(model, *, which, views):
        assert (tmp_path / "out").is_dir()
        raise RefusedError("loaded")

    monkeypatch.setattr(segment, "load", load)
    with pytest.raises(RefusedError, match="loaded"):
        main(options(tmp_path, photo), Console(quiet=True))


def test_errors_name_the_options(tmp_path, capsys):
    photo, model = str(save(tmp_path / "photo.png")), str(tmp_path)
    base = ["segment", photo, "-o", str(tmp_path / "out")]
    for more, message in (
        (["--model", model, "--opacity", "1.5"], "`--opacity` must lie in [0, 1]"),
        (["--model", model, "--batch-size", "0"], "`--batch-size` must be positive"),
        (["--model", str(tmp_path / "none")], "`--model` must be"),
    ):
        status, text = run([*base, *more], capsys)
        assert status == 2
        assert message in text
    status, text = run(["segment", "none.png", *base[2:], "--model", model], capsys)
    assert status == 2
    assert "`PHOTO` must exist, got 'none.png'" in text
