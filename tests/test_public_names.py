"""Names that public packages export."""

import importlib

import pytest

from carafe_jax import nn
from carafe_jax.nn import partial, resamplers

PACKAGES = [
    "carafe_jax.cli",
    "carafe_jax.data",
    "carafe_jax.data.sources",
    "carafe_jax.data.transforms",
    "carafe_jax.interop",
    "carafe_jax.losses",
    "carafe_jax.metrics",
    "carafe_jax.models",
    "carafe_jax.models.backbones",
    "carafe_jax.models.detection",
    "carafe_jax.models.inpainting",
    "carafe_jax.models.segmentation",
    "carafe_jax.nn",
    "carafe_jax.nn.partial",
    "carafe_jax.nn.resamplers",
    "carafe_jax.ops",
    "carafe_jax.tasks",
    "carafe_jax.tasks.classification",
    "carafe_jax.tasks.detection",
    "carafe_jax.tasks.inpainting",
    "carafe_jax.tasks.segmentation",
    "carafe_jax.train",
    "carafe_jax.viz",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_package_lists_each_of_its_names_once(package):
    module = importlib.import_module(package)
    names = module.__all__
    assert names
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_public_package_lists_all_that_it_re_exports(package):
    module = importlib.import_module(package)
    prefix = f"{package}."
    exported = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "").startswith(prefix)
    }
    assert exported <= set(module.__all__)


@pytest.mark.parametrize(
    "package", [partial, resamplers], ids=lambda package: package.__name__
)
def test_nn_exports_the_layers_of_its_packages(package):
    missing = set(package.__all__) - set(nn.__all__)
    assert not missing, f"Export {sorted(missing)} from carafe_jax/nn/__init__.py, too."
