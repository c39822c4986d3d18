import pathlib

import jupytext
import nbformat
import pytest

import experiments

NOTEBOOKS = sorted(
    (pathlib.Path(experiments.__file__).parent / "notebooks").glob("*.ipynb")
)

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def _cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_all_notebooks_are_found() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["detection", "inpainting", "tour"]


@notebooks
def test_a_notebook_and_its_text_form_have_the_same_cells(path: pathlib.Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    text = jupytext.read(path.with_suffix(".py"), fmt="py:percent")
    assert _cells(notebook) == _cells(text)


@notebooks
def test_a_notebook_was_run_from_top_to_bottom(path: pathlib.Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/jpeg" in output.get("data", {}) for output in outputs)


@notebooks
def test_a_notebook_is_small(path: pathlib.Path) -> None:
    assert path.stat().st_size < 2**20
