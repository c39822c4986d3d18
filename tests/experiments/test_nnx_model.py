import sys

import pytest
from rich.console import Console

from experiments import nnx_model


def test_nnx_model_with_carafe_layers_learns():
    first, last, trained = nnx_model.train(steps=30)
    assert last < 0.5 * first
    # By running statistics, which have come near those of the one batch.
    assert trained < 0.7 * first


def test_command_prints_the_losses(capsys):
    assert nnx_model.main(nnx_model.NNXModel(steps=1), Console()) == 0
    assert "at the last" in capsys.readouterr().out


def test_command_shows_its_options(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["nnx_model", "--help"])
    with pytest.raises(SystemExit):
        nnx_model.run(nnx_model.main, nnx_model.NNXModel(), doc=nnx_model.__doc__)
    assert "--steps" in capsys.readouterr().out
