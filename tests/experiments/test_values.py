"""Every experiment is a file of values that its command accepts."""

import importlib
import pathlib
import re
import runpy
import sys

import pytest

import experiments

ROOT = pathlib.Path(experiments.__file__).parent
MODULES = sorted(
    f"experiments.{path.parent.name}.{path.stem}"
    for task in ("classification", "detection", "inpainting", "segmentation")
    for path in (ROOT / task).glob("[!_]*.py")
)


@pytest.mark.parametrize("module", MODULES)
def test_help_shows_the_command_and_the_docstring_line_by_line(
    module, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not ended.value.code
    text = capsys.readouterr().out
    assert f"usage: python -m {module}" in text
    for label in ("Paper", "Cost", "Expected", "Reached", "Command"):
        assert any(line.startswith(f"  {label}: ") for line in text.splitlines()), label


@pytest.mark.parametrize("module", MODULES)
def test_an_experiment_is_short(module):
    path = ROOT.parent / f"{module.replace('.', '/')}.py"
    assert len(path.read_text().splitlines()) <= 60


@pytest.mark.parametrize("module", MODULES)
def test_numbers_that_were_reached_have_a_date(module):
    text = importlib.import_module(module).__doc__ or ""
    (reached,) = re.findall(r"^Reached: (.+?)^Command:", text, re.DOTALL | re.MULTILINE)
    assert reached == "not run.\n" or re.search(r"\b20\d\d-\d\d-\d\d\b", reached)
