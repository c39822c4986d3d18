"""Commands, links, paths and examples of the Markdown, docstrings and notebooks."""

import ast
import dataclasses
import doctest
import pathlib
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import carafe_jax
from carafe_jax.cli.commands import _SUBCOMMANDS
from carafe_jax.models import Classifier, ResNet50
from carafe_jax.tasks.registry import TASKS
from tests.subprocesses import ROOT, run_python

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "experiments/*.md")
    for path in ROOT.glob(pattern)
)
SOURCES = sorted(
    path
    for folder in ("carafe_jax", "pallas", "experiments", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
# Paths in backticks are relative to the repository, or in these pages to this folder.
FOLDERS = {"CONTRIBUTING.md": "carafe_jax", "experiments/README.md": "experiments"}
PATH = re.compile(r"`([\w.]+/[^`\s]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"python3? -m\s+((?:carafe_jax|experiments|tests)[\w.]*)")
SUBCOMMAND = re.compile(
    r"(?:^|[`:(])\s*carafe-jax ([a-z-]+)(?: ([a-z]+))?", re.MULTILINE
)
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>.+?) -->\s+)?^```python\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


def name_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of each page, module docstring and notebook."""
    for path in PAGES:
        yield name_of(path), path.read_text()
    for path in SOURCES:
        text = path.read_text()
        if path.parent.name != "notebooks":
            text = ast.get_docstring(ast.parse(text)) or ""
        yield name_of(path), text


def is_command(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    if (path / "__main__.py").exists():
        return True
    file = path.with_suffix(".py")
    return file.exists() and '__name__ == "__main__"' in file.read_text()


def test_commands_name_modules_that_can_be_run():
    named = [
        (name, module.rstrip("."))
        for name, text in texts()
        for module in MODULE.findall(text)
    ]
    assert len(named) > 50
    assert [(name, module) for name, module in named if not is_command(module)] == []


def test_commands_name_existing_subcommands_and_tasks():
    named = [
        (name, *words) for name, text in texts() for words in SUBCOMMAND.findall(text)
    ]
    assert len(named) > 15
    assert [
        (name, subcommand, word)
        for name, subcommand, word in named
        if subcommand not in _SUBCOMMANDS
        or (subcommand == "train" and word and word not in TASKS)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_in_backticks_exist(page):
    roots = [ROOT, ROOT / FOLDERS.get(name_of(page), "")]
    tops = {path.name: root for root in roots for path in root.iterdir()}
    missing = [
        path
        for path in PATH.findall(page.read_text())
        if (root := tops.get(path.partition("/")[0]))
        # NAME is a placeholder.
        and not [*root.glob(path.replace("NAME", "*").rstrip("/"))]
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_exist(page):
    assert [
        link
        for link in LINK.findall(page.read_text())
        if "://" not in link and not is_there(page, *link.split("#"))
    ] == []


def test_every_public_package_has_a_page_of_the_reference():
    packages = {
        f"carafe_jax.{name}"
        for name in carafe_jax.__all__
        if isinstance(getattr(carafe_jax, name), types.ModuleType)
    }
    documented = re.findall(
        r"^\.\. automodule:: (.+)$",
        "\n".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md")),
        re.MULTILINE,
    )
    assert packages <= {*documented}


def is_there(page: pathlib.Path, path: str, heading: str = "") -> bool:
    """Return whether the target of a link exists, which may be a heading of a page."""
    target = page.parent / path if path else page
    if not heading or not target.exists():
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
    return heading in [
        re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings
    ]


@dataclasses.dataclass(frozen=True)
class Example:
    """A Python block of a page."""

    code: str
    line: int
    reason: str | None
    """Reason why it is not run, if it is not."""


def examples_of(page: pathlib.Path) -> list[Example]:
    text = page.read_text()
    return [
        Example(
            code=match["code"],
            line=text.count("\n", 0, match.start("code")) + 1,
            reason=match["reason"],
        )
        for match in BLOCK.finditer(text)
    ]


def source_of(page: str) -> str:
    """Return the blocks of a page that are run, at their original line numbers."""
    lines: list[str] = []
    for example in examples_of(ROOT / page):
        if example.reason is None:
            lines += [""] * (example.line - 1 - len(lines))
            lines += example.code.splitlines()
    return "\n".join(lines) + "\n"


def name_with_reasons(page: pathlib.Path) -> str:
    """Return the name of a page, with the blocks that are not run and the reasons."""
    notes = [
        f"line {example.line} not run: {example.reason}"
        for example in examples_of(page)
        if example.reason
    ]
    return "; ".join([name_of(page), *notes])


# Pages and docstrings whose examples take more than seconds.
SLOW_PAGES = {
    "docs/detectors.md",
    "docs/inpainting.md",
    "docs/layers.md",
    "docs/weights.md",
}
SLOW_DOCSTRINGS = ("carafe_jax.models.",)
# Has a separate test, as it needs several devices.
SHARDING = "docs/sharding.md"
PAGES_WITH_EXAMPLES = [
    pytest.param(
        name_of(page),
        id=name_with_reasons(page),
        marks=[pytest.mark.slow] if name_of(page) in SLOW_PAGES else [],
    )
    for page in PAGES
    if examples_of(page) and name_of(page) != SHARDING
]


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES)
def test_examples_of_a_page_run(page, monkeypatch):
    names: dict[str, object] = {}
    if page == "docs/weights.md":
        files = types.ModuleType("safetensors.numpy")
        files.__dict__["load_file"] = lambda path: made_up_resnet50()
        monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
        monkeypatch.setitem(sys.modules, "safetensors.numpy", files)
        names["state_dict"] = made_up_carafe_pack()
    for example in examples_of(ROOT / page):
        compile(example.code, page, "exec")  # Includes those that are not run.
    exec(compile(source_of(page), page, "exec"), names)


def made_up_resnet50() -> dict[str, np.ndarray]:
    """Return weights of zeros by torchvision's names."""
    network = Classifier(ResNet50(), classes=1000)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)
    leaves = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    leaves |= {"mean": "running_mean", "var": "running_var"}
    weights: dict[str, np.ndarray] = {}
    leaf_shapes: dict[Any, Any] = flatten_dict(shapes)
    for path, array in leaf_shapes.items():
        _, *modules, leaf = path
        name = ".".join(modules).replace("classifier", "fc")
        name = re.sub(r"backbone\.(stem\.)?", "", name)
        name = re.sub(r"res(\d)_(\d+)", lambda m: f"layer{int(m[1]) - 1}.{m[2]}", name)
        name = name.replace("shortcut_conv", "downsample.0")
        name = name.replace("shortcut_norm", "downsample.1").replace("norm", "bn")
        zeros = np.zeros(array.shape, np.float32)
        weights[f"{name}.{leaves[leaf]}"] = zeros.transpose(
            {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[zeros.ndim]
        )
    return weights


def made_up_carafe_pack() -> dict[str, np.ndarray]:
    """Return weights of zeros of mmcv's `CARAFEPack` for 8 channels, x2."""
    return {
        "channel_compressor.weight": np.zeros((64, 8, 1, 1), np.float32),
        "channel_compressor.bias": np.zeros(64, np.float32),
        "content_encoder.weight": np.zeros((100, 64, 3, 3), np.float32),
        "content_encoder.bias": np.zeros(100, np.float32),
    }


@pytest.mark.slow
def test_example_of_many_devices_runs_on_eight():
    arrays = """
import jax.numpy as jnp
features = jnp.ones((4, 8, 6, 5))
kernels = jnp.full((4, 16, 12, 1, 25), 1 / 25)
"""
    check = """
assert output.shape == (4, 16, 12, 5)
assert len(output.sharding.device_set) == 8
"""
    run_python(
        "-c",
        arrays + source_of(SHARDING) + check,
        environment={"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"},
    )


def docstring_examples() -> Iterator[doctest.DocTest]:
    """Yield the docstrings with examples of `carafe_jax`, by name."""
    parser = doctest.DocTestParser()
    for path in (ROOT / "carafe_jax").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                name = f"{module}.{getattr(node, 'name', '')}"
                yield parser.get_doctest(text, {}, name, str(path), 0)


DOCSTRINGS = sorted(docstring_examples(), key=lambda example: example.name)


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example, marks=[pytest.mark.slow] if slow else [])
        for example in DOCSTRINGS
        for slow in [example.name.startswith(SLOW_DOCSTRINGS)]
    ],
    ids=lambda example: example.name,
)
def test_examples_of_a_docstring_run(example):
    report: list[str] = []
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)
