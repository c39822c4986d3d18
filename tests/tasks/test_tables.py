import pytest

from carafe_jax.tasks.tables import read_steps, read_table, write_table

RESULTS = {"U-Net, CARAFE++": {"psnr": 20.25}, "mean colour": {"psnr": 19.5}}


@pytest.mark.parametrize("steps", [None, 600])
def test_table_comes_back_with_the_steps_of_its_network(tmp_path, steps):
    path = tmp_path / "table.csv"
    write_table(path, RESULTS, steps=steps)
    assert read_table(path) == RESULTS
    assert read_steps(path) == steps


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
