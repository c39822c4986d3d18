import dataclasses
import io
import os
import pathlib
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.cli import fill
from carafe_jax.cli.fill import FillOptions, main
from carafe_jax.cli.fill_bars import FillBars
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.tasks.inpainting.fill_files import plan_fills
from carafe_jax.tasks.run import train_and_report
from tests.tasks.inpainting.pictures import random_photo, save, square_hole
from tests.tasks.runs import call, inpainting


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    assert train_and_report(inpainting(workdir, steps=1), Console(quiet=True)) == 0
    return workdir


def test_given_pixels_of_any_size_are_kept_to_the_bit(run, tmp_path):
    photo, hole = random_photo(37, 90), square_hole(37, 90)
    config = FillOptions(
        photo=save(tmp_path / "photo.png", photo),
        mask=save(tmp_path / "mask.png", (255 * hole).astype(np.uint8)),
        output=tmp_path / "new" / "out.png",
        model=run,
        longest_side=64,
    )
    status, text = call(main, config)
    assert status == 0
    assert "Filled by U-Net" in text
    with Image.open(config.output) as picture:
        filled = np.asarray(picture)
    np.testing.assert_array_equal(filled[~hole], photo[~hole])
    assert np.any(filled[hole] != photo[hole])
    with pytest.raises(ValueError, match="`output` must not exist"):
        main(config, Console(quiet=True))
    again = dataclasses.replace(config, overwrite=True)
    assert main(again, Console(quiet=True)) == 0


def test_photographs_keep_their_channels_and_bit_depth(run, tmp_path):
    rng, hole = np.random.default_rng(0), square_hole(20, 30)
    photos = {
        "alpha.png": rng.integers(0, 256, (20, 30, 4), dtype=np.uint8),
        "grey.png": rng.integers(0, 256, (20, 30), dtype=np.uint8),
        "deep.png": rng.integers(0, 65536, (20, 30), dtype=np.uint16),
    }
    for name, photo in photos.items():
        save(tmp_path / "photos" / name, photo)
        save(tmp_path / "masks" / name, (255 * hole).astype(np.uint8))
    Image.new("CMYK", (30, 20)).save(tmp_path / "photos" / "ink.jpg")
    save(tmp_path / "masks" / "ink.png", (255 * hole).astype(np.uint8))
    config = FillOptions(
        photo=tmp_path / "photos",
        mask=tmp_path / "masks",
        output=tmp_path / "out",
        model=run,
    )
    status, text = call(main, config)
    assert status == 1
    assert "ink.jpg: its colours (CMYK) cannot be kept losslessly in a PNG" in text
    for name, photo in photos.items():
        with Image.open(tmp_path / "out" / name) as picture:
            filled = np.asarray(picture)
        assert (filled.dtype, filled.shape) == (photo.dtype, photo.shape)
        np.testing.assert_array_equal(filled[~hole], photo[~hole])


@pytest.mark.parametrize("method", ["mean-colour", "spline", "navier-stokes"])
def test_classic_methods_need_no_network(tmp_path, method):
    rng, hole = np.random.default_rng(0), square_hole(20, 30)
    for name, photo in {
        "alpha.png": rng.integers(0, 256, (20, 30, 4), dtype=np.uint8),
        "deep.png": rng.integers(0, 65536, (20, 30), dtype=np.uint16),
    }.items():
        save(tmp_path / "photos" / name, photo)
        save(tmp_path / "masks" / name, (255 * hole).astype(np.uint8))
    config = FillOptions(
        photo=tmp_path / "photos",
        mask=tmp_path / "masks",
        output=tmp_path / "out",
        method=method,
    )
    status, text = call(main, config)
    assert status == 0
    assert f"Filled by {method}: 2. Written to" in text
    for path in (tmp_path / "photos").iterdir():
        with Image.open(path) as before, Image.open(config.output / path.name) as after:
            photo, filled = np.asarray(before), np.asarray(after)
        assert filled.dtype == photo.dtype
        np.testing.assert_array_equal(filled[~hole], photo[~hole])
        assert np.any(filled[hole] != photo[hole])


def test_a_method_of_opencv_is_refused_before_any_file_where_it_is_missing(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "cv2", None)
    nothing = tmp_path / "nothing"
    paths: dict[str, Any] = dict.fromkeys(("photo", "mask", "output"), nothing)
    with pytest.raises(MissingExtraError, match="'telea' needs cv2"):
        main(FillOptions(**paths, method="telea"), Console(quiet=True))


def test_transparent_hole_of_a_photograph_is_filled_and_made_opaque(run, tmp_path):
    hole = square_hole(20, 30)
    photo = np.dstack([random_photo(20, 30), np.where(hole, 0, 255).astype(np.uint8)])
    path = save(tmp_path / "photo.png", photo)
    output = tmp_path / "out.png"
    config = FillOptions(
        photo=path, mask=path, output=output, model=run, hole="transparent"
    )
    assert call(main, config)[0] == 0
    with Image.open(output) as picture:
        filled = np.asarray(picture)
    np.testing.assert_array_equal(filled[~hole], photo[~hole])
    assert np.all(filled[hole, 3] == 255)


def test_names_that_are_no_utf_8_are_named_in_escapes(run, tmp_path):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    save(tmp_path / "photos" / "a[b]\udce9.png", random_photo(16, 16))
    save(tmp_path / "photos" / "none\udce9.png", random_photo(16, 16))
    save(tmp_path / "masks" / "a[b]\udce9.png", hole)
    config = FillOptions(
        photo=tmp_path / "photos",
        mask=tmp_path / "masks",
        output=tmp_path / "out",
        model=run,
    )
    status, text = call(main, config)
    assert status == 1
    assert (tmp_path / "out" / "a[b]\udce9.png").exists()
    assert "none\\xe9.png: there must be one photograph" in text
    text.encode("utf-8")


def test_folders_are_matched_by_name_and_problems_are_named(run, tmp_path):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    for name in ("a.png", "deep/b.jpg", "c.png", "d.png", "e.png"):
        save(tmp_path / "photos" / name, random_photo(16, 16))
    for name in ("a.png", "deep/b.png", "d.png"):
        save(tmp_path / "masks" / name, hole)
    save(tmp_path / "masks" / "d.png", hole[:, :9])
    (tmp_path / "masks" / "e.png").write_bytes(b"no image")
    config = FillOptions(
        photo=tmp_path / "photos",
        mask=tmp_path / "masks",
        output=tmp_path / "out",
        model=run,
    )
    status, text = call(main, config)
    assert status == 1
    written = {p.relative_to(config.output).as_posix() for p in _files(config.output)}
    assert written == {"a.png", "deep/b.png"}
    assert "c.png: there must be one photograph and one mask called c.*" in text
    assert "as large as the photograph, 16 x 16, got 9 x 16" in text
    assert "masks/e.png': cannot identify image file" in text
    assert "2; not filled: 3" in text
    _, text = call(main, config)
    assert "skipped, as their outputs exist: 2" in text


def test_interrupted_command_continues(tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "photos" / name, random_photo(20, 30))
        save(tmp_path / "masks" / name, (255 * square_hole(20, 30)).astype(np.uint8))
    config = FillOptions(
        photo=tmp_path / "photos",
        mask=tmp_path / "masks",
        output=tmp_path / "out",
        method="mean-colour",
    )

    write, written = fill.write_photograph, []

    def write_one(path, photograph):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, photograph)

    for overwrite, command in (
        (True, "the command, without --overwrite, to"),
        (False, "the command to"),
    ):
        with monkeypatch.context() as patch:
            written.clear()
            patch.setattr(fill, "write_photograph", write_one)
            recorder = Console(record=True, width=200, file=io.StringIO())
            with pytest.raises(KeyboardInterrupt):
                main(dataclasses.replace(config, overwrite=overwrite), recorder)
        text = recorder.export_text()
        finished = 1 if overwrite else 2
        assert f"Filled {finished} of 3 photographs, written to {config.output}" in text
        assert f"Repeat {command} continue." in text
    status, text = call(main, config)
    assert status == 0
    assert "Filled by mean-colour: 1; skipped, as their outputs exist: 2" in text


def test_overwriting_deletes_all_outputs_first(tmp_path, monkeypatch):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    for name in ("a.png", "b.png", "no_mask.png"):
        save(tmp_path / "photos" / name, random_photo(16, 16))
        if name != "no_mask.png":
            save(tmp_path / "masks" / name, hole)
        save(tmp_path / "out" / name, hole)
    save(tmp_path / "out" / "other.png", hole)
    config = _folders(tmp_path)

    def interrupt(path, photograph):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fill, "write_photograph", interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(dataclasses.replace(config, overwrite=True), Console(quiet=True))
    assert {path.name for path in _files(config.output)} == {"other.png"}
    _, text = call(main, config)
    assert "Filled by spline: 2; not filled: 1" in text


@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_in_the_folder_of_photographs_are_no_photographs(tmp_path, overwrite):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    save(tmp_path / "photos" / "a.png", random_photo(16, 16))
    save(tmp_path / "masks" / "a.png", hole)
    output = tmp_path / "photos" / "out"
    config = dataclasses.replace(_folders(tmp_path), output=output)
    call(main, config)
    status, text = call(main, dataclasses.replace(config, overwrite=overwrite))
    assert status == 0
    assert "images in the output folder, left out: 1" in text


@pytest.mark.parametrize("overwrite", [False, True])
def test_photographs_and_masks_are_never_outputs(tmp_path, overwrite):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    for name in ("a.png", "photos/a.png"):
        save(tmp_path / "photos" / name, random_photo(16, 16))
        save(tmp_path / "masks" / name, hole)
    save(tmp_path / "photos" / "masks" / "a.png", random_photo(16, 16))
    before = {path: path.read_bytes() for path in _files(tmp_path)}
    config = dataclasses.replace(_folders(tmp_path), output=tmp_path)
    status, text = call(main, dataclasses.replace(config, overwrite=overwrite))
    assert status == 1
    assert "`output` must be another file than the photographs and masks" in text
    assert {path: path.read_bytes() for path in before} == before


def test_masks_without_a_photograph_are_named_and_are_no_failure(tmp_path):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    save(tmp_path / "photos" / "a.png", random_photo(16, 16))
    for name in ("a.png", "b.png", "deep/a.png"):
        save(tmp_path / "masks" / name, hole)
    status, text = call(main, _folders(tmp_path))
    assert status == 0
    assert "masks/b.png: no photograph is called b.*" in text
    assert "masks/deep/a.png: no photograph is called deep/a.*" in text
    assert "Filled by spline: 1; masks not used: 2. Written to" in text


def test_outputs_that_cannot_be_written_are_named_before_any_photograph_is_read(
    tmp_path, monkeypatch
):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    for name in ("a.png", "b.png", "deep/c.png", "d.png"):
        save(tmp_path / "photos" / name, random_photo(16, 16))
        save(tmp_path / "masks" / name, hole)
    config = _folders(tmp_path, overwrite=True)
    (config.output / "a.png").mkdir(parents=True)
    (config.output / "b.png").touch()
    (config.output / "deep").touch()
    protected = {str(config.output / "b.png")}
    monkeypatch.setattr(os, "access", lambda path, *_: str(path) not in protected)
    plan = plan_fills(
        config.photo, config.mask, output=config.output, overwrite=config.overwrite
    )
    assert [job.photo.name for job in plan.jobs] == ["d.png"]
    status, text = call(main, config)
    assert status == 1
    assert "a.png: `output` must be a file, got the folder" in text
    assert "b.png: `output` must be a file that may be written to" in text
    assert "c.png: `output` must be in a folder, got the file" in text
    assert (config.output / "d.png").stat().st_size


def test_a_protected_output_is_skipped_where_it_is_not_overwritten(
    tmp_path, monkeypatch
):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    save(tmp_path / "photos" / "a.png", random_photo(16, 16))
    save(tmp_path / "masks" / "a.png", hole)
    config = _folders(tmp_path)
    path = save(config.output / "a.png", hole)
    monkeypatch.setattr(os, "access", lambda name, *_: str(name) != str(path))
    status, text = call(main, config)
    assert status == 0
    assert "skipped, as their outputs exist: 1" in text


def test_a_mask_of_another_size_is_refused_for_its_size(tmp_path, caplog):
    photo = save(tmp_path / "photo.png", random_photo(16, 16))
    for name, pixels in {
        "nearly_all.png": np.where(square_hole(16, 40), 0, 255),
        "no_hole.png": np.zeros((16, 40)),
        "photo.png": random_photo(16, 40),
    }.items():
        mask = save(tmp_path / "masks" / name, pixels.astype(np.uint8))
        config = FillOptions(
            photo=photo, mask=mask, output=tmp_path / "out.png", method="spline"
        )
        with pytest.raises(RefusedError, match="16 x 16, got 40 x 16") as refused:
            main(config, Console(quiet=True))
        assert "--hole" not in str(refused.value) + caplog.text


@pytest.mark.parametrize("terminal", [True, False])
def test_one_photograph_that_cannot_be_filled_is_one_line(tmp_path, terminal):
    (tmp_path / "photo.jpg").write_bytes(b"no image")
    config = FillOptions(
        photo=tmp_path / "photo.jpg",
        mask=save(tmp_path / "mask.png", np.eye(16, dtype=np.uint8) * 255),
        output=tmp_path / "out.png",
        method="spline",
    )
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=terminal)
    with pytest.raises(RefusedError) as refused:
        main(config, console)
    assert str(refused.value).count("photo.jpg") == 1
    assert "cannot identify image file" in str(refused.value)
    assert "Filled" not in printed.getvalue()
    # On a terminal, bars are drawn, and then erased by control codes.
    assert terminal or not printed.getvalue().strip()


def _folders(folder, **values):
    return FillOptions(
        photo=folder / "photos",
        mask=folder / "masks",
        output=folder / "out",
        method="spline",
        **values,
    )


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"photo": "nothing.png"}, "`photo` must exist"),
        ({"mask": "nothing.png"}, "`mask` must exist"),
        ({"mask": "."}, "`photo` and `mask` must both be files"),
        ({"output": "out.jpg"}, "`output` must be a file that ends in .png"),
        ({"photo": ".", "mask": "."}, "`output` must be another folder"),
        ({"output": "photo.png", "overwrite": True}, "`output` must be another file"),
        ({"output": "photo.png/out.png"}, "must be in a folder, got the file"),
        ({"output": f"{'x' * 300}.png"}, "`output` must be a path of shorter names"),
    ],
)
def test_paths_that_do_not_belong_together_are_refused(tmp_path, values, message):
    save(tmp_path / "photo.png", random_photo(8, 8))
    output = "." if values.get("photo") == "." else "out.png"
    paths = {"photo": "photo.png", "mask": "photo.png", "output": output, **values}
    files = {
        name: tmp_path / path if isinstance(path, str) else path
        for name, path in paths.items()
    }
    config = FillOptions(**files, model=tmp_path)
    with pytest.raises(ValueError, match=message):
        main(config, Console(quiet=True))


@pytest.mark.parametrize(
    ("field", "value"),
    [("grow", -1), ("longest_side", 0), ("longest_side", 63), ("reach", 0)],
)
def test_invalid_numbers_are_refused(tmp_path, field, value):
    paths = dict.fromkeys(("photo", "mask", "output", "model"), tmp_path)
    with pytest.raises(ValueError, match=f"`{field}` must"):
        FillOptions(**paths, **{field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "`model` must be .* `carafe-jax train inpainting` .* `--method spline`"),
        (
            {"method": "telea", "model": pathlib.Path("run")},
            "`model` must be left out .*'telea'",
        ),
        (
            {"method": "spline", "which": "best"},
            "`which` must be left out .* got 'best'",
        ),
        ({"method": "spline", "reach": 8}, "`reach` must be left out .* got '8'"),
        ({"method": "spline", "longest_side": 64}, "`longest_side` must be left out"),
    ],
)
def test_network_requires_a_run_and_classic_method_refuses_one(
    tmp_path, fields, message
):
    paths: dict[str, Any] = dict.fromkeys(("photo", "mask", "output"), tmp_path)
    with pytest.raises(ValueError, match=message):
        FillOptions(**paths, **fields)


def test_bars_show_the_photographs_and_the_tiles_of_one():
    console = Console(record=True, width=100, force_terminal=True)
    with FillBars(console, photographs=3) as bars:
        with bars.photograph():
            pass
        with bars.photograph() as report:
            report(0, 7)
            report(4, 7)
            # By default they are drawn ten times a second.
            bars._bars.refresh()
            text = console.export_text()
    assert "photographs" in text
    assert "1/3" in text
    assert "4/7" in text
