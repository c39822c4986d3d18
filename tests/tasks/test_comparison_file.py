import json
from typing import Any

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.comparison_configurations import (
    add_configuration,
    configuration_of,
    hash_of,
)
from carafe_jax.tasks.comparison_file import ComparisonFile
from carafe_jax.tasks.comparison_rows import Row, read_rows, write_rows
from tests.tasks.runs import classification, inpainting

MACHINE: dict[str, Any] = {
    "device": 'Chip, "fast"',
    "cores": "2; 4",
    "jax": "0.10",
    "python": "3.11",
    "date": "2026-11-29",
}
HEADER = (
    "method,network,seed,steps,batch_size,seconds,images_per_second,psnr,"
    "device,cores,jax,python,date,configuration"
)
LINE = "conv,U-Net,0,2,2,1.5,50,20.5,Chip,2,0.10,3.11,2026-11-29,0123456789"


def row(configuration, *, seed, **fields):
    own: dict[str, Any] = {
        "method": "conv",
        "network": "U-Net",
        "steps": 4,
        "batch_size": 2,
        "seconds": 1.5,
        "images_per_second": 50.25,
        "numbers": {"psnr": 20.1},
    }
    return Row(**{**own, **MACHINE, **fields}, configuration=configuration, seed=seed)


def classic(configuration):
    return Row(
        method="biharmonic",
        network="biharmonic",
        numbers={"psnr": 20.0, "ssim": 0.5},
        configuration=configuration,
        **MACHINE,
    )


@pytest.fixture
def file(tmp_path):
    """A file whose only row is that of an untrained method."""
    run = inpainting(tmp_path / "runs")
    configuration = configuration_of(run)
    add_configuration(tmp_path / "rows.json", configuration)
    write_rows(tmp_path / "rows.csv", [classic(hash_of(configuration))])
    return ComparisonFile(tmp_path / "rows.csv", {"conv": run})


def test_rows_are_read_as_they_were_written(tmp_path):
    # Columns that a row lacks stay empty.
    rows = [row("a", seed=0), classic("a"), row("a", seed=1, numbers={})]
    path = tmp_path / "results" / "rows.csv"
    write_rows(path, rows)
    assert read_rows(path) == rows
    assert [x.line for x in read_rows(path)] == [2, 3, 4]


def test_rows_that_a_spreadsheet_saved_are_read(tmp_path):
    rows = [row("a", seed=0), classic("a")]
    path = tmp_path / "rows.csv"
    write_rows(path, rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_rows(path) == rows


def test_missing_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "rows.csv") == []


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("", 1, "name the columns .*, got nothing"),
        (f"{HEADER.replace('seed', 'need')}\n{LINE}\n", 1, "name the columns"),
        (f"{HEADER.replace('psnr', 'psnr,psnr')}\n", 1, "name the columns"),
        (
            f"{HEADER}\n{LINE}\n{LINE.replace('20.5', 'x')}\n",
            3,
            "a number as its `psnr`",
        ),
        (f"{HEADER}\n{LINE.replace(',0,2,', ',0,2.5,')}\n", 2, "an integer .* `steps`"),
        (f"{HEADER}\n{LINE.replace(',0,2,', ',-1,2,')}\n", 2, "`seed` .* got -1"),
        (f"{HEADER}\n{LINE.replace(',0,2,', f',{2**32},2,')}\n", 2, "`seed` must lie"),
        (f"{HEADER}\n{LINE.replace(',0,2,', ',0,-2,')}\n", 2, "`steps` .* got -2"),
        (f"{HEADER}\n{LINE.replace(',1.5,', ',nan,')}\n", 2, "`seconds` .* got nan"),
        (f"{HEADER}\n\n{LINE},1\n", 3, "have 14 cells, got 15"),
        (f"{HEADER}\n<<<<<<< HEAD\n{LINE}\n", 2, "have 14 cells, got 1"),
        (f'{HEADER}\n{LINE}\n"conv,', 3, "be valid CSV"),
        (f"{HEADER}\n{LINE}\nconv\udcff\n", 3, "be UTF-8"),
    ],
)
def test_damaged_rows_are_refused_by_their_line(tmp_path, text, line, rule):
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RefusedError, match=rule) as refused:
        read_rows(path)
    assert str(refused.value).startswith(f"{path}, line {line}: must ")
    assert "another `results`" in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "line", "rule"),
    [
        ([row("unknown", seed=0)], 3, "the hash of one in .*rows.json, got 'unknown'"),
        ([row("", seed=0, method="max")], 3, "`method` one of conv, got 'max'"),
        ([row("", seed=0)] * 2, 4, "must not repeat line 3, got 'conv', seed 0"),
        ([classic("")], 3, "must not repeat line 2, got 'biharmonic' again"),
        (
            [row("", seed=0), row("", seed=1, steps=5)],
            3,
            "has 4 steps of 'conv', .* has 5: they .* same images",
        ),
    ],
)
def test_rows_that_do_not_belong_together_are_refused(file, rows, line, rule):
    known = read_rows(file.path)
    name = known[0].configuration
    own = [Row(**{**vars(x), "configuration": x.configuration or name}) for x in rows]
    write_rows(file.path, [*known, *own])
    with pytest.raises(RefusedError, match=rule) as refused:
        file.read()
    assert str(refused.value).startswith(f"{file.path}, line {line}: ")


def test_rows_stored_under_the_old_name_of_a_field_are_kept(file):
    path = file.path.with_suffix(".json")
    (fields,) = json.loads(path.read_text()).values()
    fields["data.masks.hole_share"] = fields.pop("data.masks.hole_fraction")
    path.write_text(json.dumps({hash_of(fields): fields}))
    write_rows(file.path, [row(hash_of(fields), seed=0)])
    assert len(file.read()) == 1


def test_rows_stored_with_a_field_without_an_effect_on_results_are_kept(file):
    path = file.path.with_suffix(".json")
    (fields,) = json.loads(path.read_text()).values()
    fields["loop.save_every"] = 7
    path.write_text(json.dumps({hash_of(fields): fields}))
    write_rows(file.path, [row(hash_of(fields), seed=0)])
    assert len(file.read()) == 1


def test_untrained_rows_of_other_data_are_refused(file, tmp_path):
    other = inpainting(tmp_path / "runs", resampler="carafe", steps=9)
    # The result of a classic fill depends on the data only.
    assert ComparisonFile(file.path, {"carafe": other}).read() == file.read()
    data = classification("elsewhere", tmp_path / "runs")
    with pytest.raises(RefusedError, match=r"`data\.source` is 'elsewhere' but was"):
        ComparisonFile(file.path, {"conv": data}).read()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("{", "be JSON"),
        ("[]", "hold a JSON object"),
        (json.dumps({"0123456789": {"task": "x"}}), "the fields with this hash"),
    ],
)
def test_damaged_configurations_are_refused(file, content, rule):
    path = file.path.with_suffix(".json")
    path.write_text(content)
    with pytest.raises(RefusedError, match=rule) as refused:
        file.read()
    assert str(refused.value).startswith(f"{path} is damaged: ")


def test_configuration_has_no_seed_and_no_place(tmp_path):
    fields = configuration_of(classification(tmp_path / "a" / "images", tmp_path))
    again = configuration_of(classification(tmp_path / "b" / "images", tmp_path / "c"))
    assert fields == again
    assert str(tmp_path) not in json.dumps(fields)
    assert not [name for name in fields if name.endswith(".seed")]
