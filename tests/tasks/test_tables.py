import pytest
from rich.console import Console

from carafe_jax.tasks.tables import (
    Column,
    draw_table,
    read_steps,
    read_table,
    write_table,
)

RESULTS = {"U-Net, CARAFE++": {"psnr": 20.25}, "mean colour": {"psnr": 19.5}}


@pytest.mark.parametrize("steps", [None, 600])
def test_table_is_read_back_with_the_steps_of_its_network(tmp_path, steps):
    path = tmp_path / "table.csv"
    write_table(path, RESULTS, steps=steps)
    assert read_table(path) == RESULTS
    assert read_steps(path) == steps


def test_table_that_a_spreadsheet_saved_is_read(tmp_path):
    path = tmp_path / "table.csv"
    write_table(path, RESULTS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_table(path) == RESULTS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"method,psnr\n",
        b"method,psnr\nU-Net,abc\n",
        b"a,b\n1\n",
        b"\xff",
    ],
)
def test_damaged_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"table\.csv must be a table .* damaged"):
        read_table(path)


def test_tables_show_names_as_they_are_and_no_empty_column():
    columns = {
        "top1": Column("top-1", 1, percent=True),
        "top5": Column("top-5", 1, percent=True),
        "loss": Column("loss", 4),
    }
    name = "a-long-method-name-that-differs-in-its-end[old]\udce9"
    console = Console(record=True, width=50)
    results = {name: {"top1": 0.763, "loss": 0.5}}
    console.print(draw_table(results, columns, title="of [data]\udce9", label="method"))
    text = console.export_text()
    rows = [line.split("│") for line in text.splitlines() if "│" in line]
    shown = "".join(row[1].strip() for row in rows)
    assert shown == "a-long-method-name-that-differs-in-its-end[old]\\xe9"
    assert "76.3 %" in text
    assert "of [data]\\xe9" in text
    assert "top-5" not in text
