"""What is done with a trained network: its fills measured, photographs filled."""

import csv
import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments.inpainting import adversarial, evaluate, fill, quickstart, report
from experiments.inpainting.coarse_to_fine import fill_photograph
from experiments.inpainting.fills import navier_stokes, telea
from experiments.inpainting.hole_shares import Measured
from experiments.inpainting.holes import HoleColour, read_hole
from experiments.inpainting.task import Filler
from experiments.inpainting.trained import load
from tests.experiments.inpainting import test_adversarial, test_quickstart


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = test_quickstart.tiny(workdir)
    assert quickstart.main(config, Console(quiet=True)) == 0
    return workdir


def call(main, config):
    console = Console(record=True, width=200)
    return main(config, console), console.export_text()


def random_photo(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def square_hole(height, width):
    hole = np.zeros((height, width), bool)
    hole[2:6, 3:9] = True
    return hole


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


# Loading


def test_last_checkpoint_has_the_step_and_the_data_of_the_run(run):
    trained = load(run, which="last")
    assert (trained.step, trained.name) == (4, "U-Net")
    assert trained.data == test_quickstart.tiny(run).data


@pytest.mark.slow
def test_generator_is_loaded_without_its_discriminator(tmp_path):
    config = test_adversarial.tiny(tmp_path, resampler="conv")
    assert adversarial.main(config, Console(quiet=True)) == 0
    trained = load(tmp_path, which="best")
    assert trained.name == "Global&Local"
    assert set(trained.variables["params"]) >= {"stem", "output"}
    status, text = call(
        evaluate.main, evaluate.Evaluation(workdir=tmp_path, checkpoint="last")
    )
    assert status == 0
    table = report.read_table(tmp_path / "table.csv")
    assert f"{table['Global&Local']['hole_psnr']:.2f}" in text


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"inpainting run is needed.*quickstart"):
        load(tmp_path, which="best")


# Evaluation


@pytest.mark.parametrize("batch_size", [1, 8])
def test_evaluation_gives_the_numbers_of_the_run(run, tmp_path, batch_size):
    config = evaluate.Evaluation(
        workdir=run, checkpoint="last", batch_size=batch_size, output=tmp_path
    )
    status, text = call(evaluate.main, config)
    assert status == 0
    table = report.read_table(run / "table.csv")
    for method in ("mean colour", "biharmonic", "U-Net"):
        assert f"{table[method]['hole_psnr']:.2f}" in text
    overall = _rows(tmp_path / "quality.csv", hole_share="all")
    assert list(overall) == [*config.classic, "U-Net", "U-Net, coarse to fine"]
    for method, row in table.items():
        for name in report.COLUMNS:
            assert float(overall[method][name]) == pytest.approx(row[name], rel=1e-5)
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["step"] == 4
    with Image.open(tmp_path / "samples.png") as picture:
        # Input, four fills, the network twice, truth: two test pictures.
        assert picture.size == (8 * 196 - 4, 24 + 2 * 196 - 4)


def _rows(path, **where):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [r for r in rows if all(r[name] == value for name, value in where.items())]
    return {row["method"]: row for row in chosen}


def test_evaluation_of_other_holes_gives_other_numbers(run, tmp_path):
    config = evaluate.Evaluation(
        workdir=run, test_seed=7, test_crops=2, classic=(), output=tmp_path
    )
    call(evaluate.main, config)
    row = _rows(tmp_path / "quality.csv", hole_share="all")["U-Net"]
    assert row["pictures"] == "4"
    table = report.read_table(run / "table.csv")
    assert float(row["hole_psnr"]) != pytest.approx(table["U-Net"]["hole_psnr"])


def test_fills_of_opencv_are_left_out_where_it_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.importlib.util, "find_spec", lambda name: None)
    config = evaluate.Evaluation(
        workdir=run, classic=("mean colour", "Telea"), output=tmp_path
    )
    status, text = call(evaluate.main, config)
    assert status == 0
    assert "Left out: Telea" in text
    methods = list(_rows(tmp_path / "quality.csv", hole_share="all"))
    assert methods == ["mean colour", "U-Net", "U-Net, coarse to fine"]


def test_means_are_taken_by_the_size_of_the_hole(tmp_path):
    values = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    measured = Measured(
        shares=np.array([0.05, 0.1, 0.15, 0.5], np.float32),
        quality={"some": dict.fromkeys(report.COLUMNS, values)},
    )
    measured.write_means(tmp_path / "quality.csv")
    with (tmp_path / "quality.csv").open(newline="") as file:
        rows = [
            (row["hole_share"], int(row["pictures"]), float(row["hole_l1"]))
            for row in csv.DictReader(file)
        ]
    assert rows == [
        ("all", 4, 3.75),
        ("0% to 10%", 2, 1.5),
        ("10% to 20%", 1, 4.0),
        ("40% to 100%", 1, 8.0),
    ]


@pytest.mark.parametrize("fill_by", [telea, navier_stokes])
def test_fills_of_opencv_continue_a_constant_and_keep_what_is_given(fill_by):
    rng = np.random.default_rng(0)
    image = np.full((2, 16, 16, 3), 0.5, np.float32)
    image[1] = rng.uniform(-1, 1, (16, 16, 3))
    mask = np.zeros((2, 16, 16, 1), np.float32)
    mask[:, 4:9, 5:11] = 1
    filled = fill_by({"image": np.where(mask > 0, np.float32(-1), image), "mask": mask})
    # Eight bits a channel, and Telea's rounds down on the way inwards.
    np.testing.assert_allclose(filled[0], 0.5, atol=2 / 127)
    given = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_array_equal(filled[given], image[given])
    assert np.all(filled[1][~given[1]] > -1)


# Masks


def test_hole_is_read_in_every_colour(tmp_path):
    hole = square_hole(12, 14)
    light = (255 * hole).astype(np.uint8)
    clear = np.dstack([random_photo(12, 14), 255 - light])
    masks: dict[HoleColour, pathlib.Path] = {
        "white": save(tmp_path / "white.png", light),
        "black": save(tmp_path / "black.png", 255 - light),
        "transparent": save(tmp_path / "clear.png", clear),
    }
    for colour, path in masks.items():
        np.testing.assert_array_equal(read_hole(path, colour=colour), hole)
    bits = tmp_path / "bits.png"
    Image.fromarray(hole).save(bits)
    np.testing.assert_array_equal(read_hole(bits, colour="white"), hole)


def test_hole_grows_on_every_side(tmp_path):
    path = save(tmp_path / "mask.png", (255 * square_hole(12, 14)).astype(np.uint8))
    expected = np.zeros((12, 14), bool)
    expected[:8, 1:11] = True
    np.testing.assert_array_equal(read_hole(path, colour="white", grow=2), expected)


@pytest.mark.parametrize(
    ("pixels", "colour", "message"),
    [
        (np.zeros((8, 8)), "white", "must show a hole in white, got none.* 0 to 0"),
        (np.eye(8), "white", "must show a hole in white, got none.* 0 to 1 of 255"),
        (np.full((8, 8), 255), "black", "must show a hole in black, got none"),
        (np.full((8, 8), 255), "white", "must leave pixels .* got white everywhere"),
        (255 * np.eye(8), "transparent", "must have transparent pixels"),
        (np.full((8, 8), 100), "white", "must be black and white, .* got 100%"),
        (np.full((8, 8, 4), 100), "white", "must be opaque"),
    ],
)
def test_masks_that_show_no_hole_are_refused(tmp_path, pixels, colour, message):
    path = save(tmp_path / "mask.png", pixels.astype(np.uint8))
    with pytest.raises(ValueError, match=message):
        read_hole(path, colour=colour)


# Filling


def test_given_pixels_of_any_size_are_kept_to_the_bit(run, tmp_path):
    photo, hole = random_photo(37, 90), square_hole(37, 90)
    config = fill.Filling(
        photo=save(tmp_path / "photo.png", photo),
        mask=save(tmp_path / "mask.png", (255 * hole).astype(np.uint8)),
        output=tmp_path / "new" / "out.png",
        checkpoint=run,
        longest_side=64,
    )
    status, text = call(fill.main, config)
    assert status == 0
    assert "Filled by U-Net" in text
    with Image.open(config.output) as picture:
        filled = np.asarray(picture)
    np.testing.assert_array_equal(filled[~hole], photo[~hole])
    assert np.any(filled[hole] != photo[hole])
    with pytest.raises(ValueError, match="`output` must not exist"):
        fill.main(config, Console(quiet=True))
    again = dataclasses.replace(config, overwrite=True)
    assert fill.main(again, Console(quiet=True)) == 0


@pytest.mark.parametrize(("reach", "longest_side"), [(30, 15), (30, 64), (1, 64)])
def test_what_the_hole_hides_does_not_matter(run, reach, longest_side):
    trained = load(run, which="last")
    filler = Filler(trained.network, batch_size=1)
    photo, hole = random_photo(20, 30), square_hole(20, 30)
    other = np.where(hole[..., None], np.uint8(0), photo)
    first, second = (
        fill_photograph(
            pixels,
            hole,
            fill=lambda batch: filler(trained.variables, batch),
            reach=reach,
            longest_side=longest_side,
        )
        for pixels in (photo, other)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("longest_side", [64, 20, 7])
def test_large_photographs_are_filled_from_means_of_what_is_given(longest_side):
    photo = np.full((21, 40, 3), 90, np.uint8)
    hole = square_hole(21, 40)
    photo[hole] = 255
    seen = []

    def constant(batch):
        seen.append(batch)
        return np.where(batch["mask"] > 0, np.float32(0.5), batch["image"])

    filled = fill_photograph(
        photo, hole, fill=constant, reach=30, longest_side=longest_side
    )
    np.testing.assert_array_equal(filled[~hole], 90)
    ((image, mask),) = ((batch["image"], batch["mask"]) for batch in seen)
    assert image.shape == (1, 64, 64, 3)
    given = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_allclose(image[given], 90 / 127.5 - 1, rtol=1e-6)
    if longest_side == 64:
        np.testing.assert_array_equal(filled[hole], round(1.5 * 127.5))


def test_deep_holes_are_filled_from_coarse_to_fine():
    photo = np.zeros((64, 64, 3), np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[20:44, 16:48] = True  # 12 pixels deep
    masks = []

    def count(batch):
        masks.append(batch["mask"][0, ..., 0])
        level = np.float32(len(masks) / 10)
        return np.where(batch["mask"] > 0, level, batch["image"])

    filled = fill_photograph(photo, hole, fill=count, reach=3, longest_side=64)
    # Sizes 1/4, 1/2 and 1, padded to 64 by mirrors.
    unknown = [
        mask[:side, :side] for mask, side in zip(masks, (16, 32, 64), strict=True)
    ]
    assert [mask.sum() for mask in unknown] == [
        6 * 8,
        12 * 16 - 6 * 10,
        24 * 32 - 18 * 26,
    ]
    np.testing.assert_array_equal(filled[~hole], 0)
    level = np.round((filled[..., 0] / 127.5 - 1) * 10)
    np.testing.assert_array_equal(level[32, 16:30], 3 * [3] + 3 * [2] + 8 * [1])


def test_a_hole_without_end_is_filled_once_nothing_is_left_of_the_photograph():
    hole = np.ones((40, 40), bool)
    hole[0, 0] = False
    batches = []

    def fill(batch):
        batches.append(batch)
        return np.zeros_like(batch["image"])

    fill_photograph(
        np.zeros((40, 40, 3), np.uint8), hole, fill=fill, reach=1, longest_side=64
    )
    assert len(batches) == 5


def test_folders_are_matched_by_name_and_problems_are_named(run, tmp_path):
    hole = (255 * square_hole(16, 16)).astype(np.uint8)
    for name in ("a.png", "deep/b.jpg", "c.png", "d.png", "e.png"):
        save(tmp_path / "photos" / name, random_photo(16, 16))
    for name in ("a.png", "deep/b.png", "d.png"):
        save(tmp_path / "masks" / name, hole)
    save(tmp_path / "masks" / "d.png", hole[:, :9])
    (tmp_path / "masks" / "e.png").write_bytes(b"no image")
    config = fill.Filling(
        photo=tmp_path / "photos",
        mask=tmp_path / "masks",
        output=tmp_path / "out",
        checkpoint=run,
    )
    status, text = call(fill.main, config)
    assert status == 1
    written = {p.relative_to(config.output).as_posix() for p in _files(config.output)}
    assert written == {"a.png", "deep/b.png"}
    assert "c.png: there must be one photograph and one mask called c.*" in text
    assert "as large as the photograph, 16 x 16, got 9 x 16" in text
    assert "e.png: cannot identify image file" in text
    assert "2; not filled: 3" in text
    _, text = call(fill.main, config)
    assert "there already: 2" in text


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
    ],
)
def test_paths_that_do_not_belong_together_are_refused(tmp_path, values, message):
    save(tmp_path / "photo.png", random_photo(8, 8))
    output = "." if values.get("photo") == "." else "out.png"
    paths = {"photo": "photo.png", "mask": "photo.png", "output": output, **values}
    config = fill.Filling(**{name: tmp_path / path for name, path in paths.items()})
    with pytest.raises(ValueError, match=message):
        fill.main(config, Console(quiet=True))


@pytest.mark.parametrize(
    ("field", "value"), [("grow", -1), ("longest_side", 0), ("reach", 0)]
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, field, value):
    paths = dict.fromkeys(("photo", "mask", "output"), tmp_path)
    with pytest.raises(ValueError, match=f"`{field}` must"):
        fill.Filling(**paths, **{field: value})
