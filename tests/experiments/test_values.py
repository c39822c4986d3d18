"""Every experiment is a file of values that its command accepts."""

import pathlib
import runpy
import sys

import pytest

import experiments

ROOT = pathlib.Path(experiments.__file__).parent
MODULES = sorted(
    f"experiments.{path.parent.name}.{path.stem}"
    for task in ("classification", "inpainting")
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
    for label in ("Paper", "Cost", "Command"):
        assert any(line.startswith(f"  {label}: ") for line in text.splitlines())


@pytest.mark.parametrize("module", MODULES)
def test_an_experiment_is_short(module):
    path = ROOT.parent / f"{module.replace('.', '/')}.py"
    assert len(path.read_text().splitlines()) <= 70
