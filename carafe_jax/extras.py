"""Imports that need one of the project's extras."""

import importlib
from types import ModuleType
from typing import Any

from carafe_jax.errors import MissingExtraError

# Top-level modules of the requirements of `carafe-jax[train]`.
TRAIN_MODULES = frozenset(
    {
        "PIL",
        "absl",
        "dm_pix",
        "docstring_parser",
        "grain",
        "matplotlib",
        "optax",
        "orbax",
        "rich",
        "scipy",
        "skimage",
        "tensorboardX",
        "tyro",
    }
)


def import_or_explain(name: str) -> ModuleType:
    """Import a module; if an extra is missing, raise with the command to install it.

    Args:
      name: Full name, as for `importlib.import_module`.

    Raises:
      MissingExtraError: A package of the extra `train` is not installed.
      ModuleNotFoundError: Another module is missing.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in TRAIN_MODULES:
            raise
        raise MissingExtraError(
            f"`{name}` needs {missing}, which is not installed: "
            "pip install 'carafe-jax[train]'",
            name=error.name,
        ) from error


def import_extra(name: str, *, extra: str, purpose: str) -> Any:
    """Import a module of one of the smaller extras.

    Args:
      name: Full name, as for `importlib.import_module`.
      extra: Extra that installs it.
      purpose: Feature that needs it, as the subject of the error message.

    Returns:
      The module, which is untyped.

    Raises:
      MissingExtraError: The module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = name.split(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {missing}, which is not installed: "
            f"pip install 'carafe-jax[{extra}]'",
            name=error.name,
        ) from error
