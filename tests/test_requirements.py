"""Imports and declared requirements agree."""

import ast
import functools
import pathlib
import re
import sys
import tomllib
from collections.abc import Iterator

import pytest

from carafe_jax.extras import TRAIN_MODULES

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"carafe_jax", "carafe_pallas", "experiments", "tests"}
# These need the core dependencies only, without the extra `train`.
LAYERS = (
    "carafe_jax/__init__.py",
    "carafe_jax/errors.py",
    "carafe_jax/extras.py",
    "carafe_jax/machine.py",
    "carafe_jax/ops",
    "carafe_jax/nn",
    "carafe_jax/models",
    "carafe_jax/interop",
    "carafe_jax/viz",
    "pallas/carafe_pallas",
)
MODULES = {
    "absl-py": "absl",
    "ipython": "IPython",
    "jax": ("jax", "jaxlib"),
    "opencv-python-headless": "cv2",
    "orbax-checkpoint": "orbax",
    "pillow": "PIL",
    "scikit-image": "skimage",
}


def modules_of(requirements: list[str]) -> set[str]:
    """Return the top-level modules of requirements, including those of our extras."""
    found: set[str] = set()
    for requirement in requirements:
        name, _, rest = re.split(r"[<>=;]", requirement)[0].strip().partition("[")
        if name == "carafe-jax":
            for extra in rest.removesuffix("]").split(","):
                found |= modules_of(PROJECT["optional-dependencies"][extra])
            continue
        modules = MODULES.get(name, name.replace("-", "_"))
        found |= {modules} if isinstance(modules, str) else {*modules}
    return found


@functools.cache
def extra(*names: str) -> set[str]:
    return modules_of([*PROJECT["dependencies"], f"carafe-jax[{','.join(names)}]"])


CORE = modules_of(PROJECT["dependencies"])


def imports(path: pathlib.Path) -> Iterator[str]:
    """Yield the modules that a file imports, except under `TYPE_CHECKING`."""
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _statements(child)


def files(*folders: str) -> list[pathlib.Path]:
    paths = [ROOT / folder for folder in folders]
    return sorted(
        file
        for path in paths
        for file in (path.rglob("*.py") if path.is_dir() else [path])
        if file.exists()
    )


def undeclared(paths: list[pathlib.Path], allowed: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in imports(path)
        if (top := name.partition(".")[0]) not in allowed | OWN
        and top not in sys.stdlib_module_names
    ]


def reachable(paths: list[pathlib.Path]) -> list[pathlib.Path]:
    """Return files and all files of this repository that they import, transitively."""
    found: set[pathlib.Path] = set()
    left = [*paths]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            for name in imports(path):
                left += own_files(name)
    return sorted(found)


def own_files(name: str) -> list[pathlib.Path]:
    """Return the files of this repository that importing a dotted name executes."""
    if name.partition(".")[0] not in OWN:
        return []
    root = ROOT / "pallas" if name.startswith("carafe_pallas") else ROOT
    parts = name.split(".")
    stems = [root.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    candidates = [(stem / "__init__.py", stem.with_suffix(".py")) for stem in stems]
    return [path for pair in candidates for path in pair if path.exists()]


@pytest.mark.parametrize(
    ("folders", "allowed"),
    [
        (LAYERS, CORE),
        (("carafe_jax", "pallas"), extra("train")),
        (("experiments/benchmarks", "experiments/classification"), extra("train")),
        (("experiments/inpainting",), extra("train")),
        (("experiments/notebooks",), extra("notebooks")),
        (("experiments", "tests"), extra("test", "notebooks")),
    ],
)
def test_imports_are_declared(folders, allowed):
    assert undeclared(files(*folders), allowed) == []


@pytest.mark.parametrize("start", [LAYERS, ("experiments/benchmarks/on_accelerator",)])
def test_modules_without_the_extra_import_none_that_need_it(start):
    assert undeclared(reachable(files(*start)), CORE) == []


def test_modules_of_the_extra_are_those_that_it_requires():
    train = modules_of(PROJECT["optional-dependencies"]["train"])
    assert train == TRAIN_MODULES
