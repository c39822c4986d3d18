"""The package as users import it."""

import importlib.metadata
import json
import sys

import pytest

import carafe_jax
from carafe_jax.errors import MissingExtraError
from carafe_jax.extras import TRAIN_MODULES, import_or_explain
from tests.subprocesses import run_python


def test_version_is_that_of_the_installed_package():
    assert carafe_jax.__version__ == importlib.metadata.version("carafe-jax")


@pytest.mark.parametrize("name", carafe_jax.__all__)
def test_every_public_name_is_reachable_and_listed(name):
    assert getattr(carafe_jax, name) is not None
    assert name in dir(carafe_jax)


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'carafe_jax' has no attribute 'carafe'"):
        _ = carafe_jax.carafe  # pyright: ignore[reportAttributeAccessIssue]


def test_a_missing_extra_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'carafe-jax\[train\]'"):
        import_or_explain("tyro")


def test_other_missing_modules_raise_their_own_error():
    with pytest.raises(ModuleNotFoundError, match=r"carafe_jax\.nothing"):
        import_or_explain("carafe_jax.nothing")


@pytest.mark.slow
def test_the_import_alone_loads_no_other_package():
    program = "import json, sys, carafe_jax; print(json.dumps([*sys.modules]))"
    loaded = {name.partition(".")[0] for name in json.loads(run_python("-c", program))}
    assert not loaded & {"jax", "flax", "numpy", "jaxtyping", *TRAIN_MODULES}


@pytest.mark.slow
def test_every_public_name_is_reachable_in_a_fresh_interpreter():
    # A process for each, forked from one that has imported nothing else.
    program = """
import os, sys, carafe_jax
for name in carafe_jax.__all__:
    if not (child := os.fork()):
        getattr(carafe_jax, name)
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""
    assert run_python("-c", program) == ""
