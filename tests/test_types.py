"""Static types that a user sees: pyright checks a user's program."""

import json
import pathlib
import sys

import carafe_pallas
import pytest

import carafe_jax
from tests.subprocesses import start_python

PROGRAM = """\
import jax.numpy as jnp

import carafe_jax
from carafe_jax import losses, metrics, models, nn, ops, viz

image, hole = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, 64, 64, 1))
kernels = jnp.zeros((1, 128, 128, 1, 25))
"""
RESULTS = {
    "carafe_jax.reassemble(image, kernels, scale=2)": "Array",
    "carafe_jax.CARAFEUpsample()(image)": "Array",
    "carafe_jax.CARAFEDownsample(groups=3)(image, train=True)": "Array",
    "losses.masked_l1(image, image, mask=hole)": "Array",
    "metrics.inpainting_quality(image, image, masks=hole).hole.psnr": "Array",
    "metrics.ssim_map(image, image)": "Array",
    "models.ClassifierConfig().make(classes=10)(image)": "Array",
    "models.GlobalLocalConfig().make()(image, hole).predicted": "Array",
    "models.PatchGANConfig().make()(image)": "Array",
    "models.ResNet50()(image)": "Stages",
    "models.ResNet50()(image).c5": "Array",
    "models.UNet()(image, hole)": "Inpainting",
    "models.UNet()(image, hole).composed": "Array",
    "nn.DeconvUpsample(features=4)(image)": "Array",
    "nn.PartialConv(3)(nn.Masked(image, hole))": "Masked",
    "nn.pool_by_importance(image, image)": "Array",
    "nn.resize_bilinear(image, size=image.shape[1:3])": "Array",
    "ops.reassemble_logits(image, image, kernel_size=3)": "Array",
    "viz.effective_taps(kernels)": "Array",
}
REFUSED = {
    'carafe_jax.reassemble(image, kernels, implementation="cuda")': "implementation",
    'carafe_jax.reassemble("image", kernels)': "features",
    "carafe_jax.reassemble(image, kernels, 2)": "positional",
    "carafe_jax.CARAFE(scale=2.5)": "scale",
    'carafe_jax.CARAFEUpsample()("image")': "features",
    'models.ClassifierConfig(downsampler="nearest")': "downsampler",
    "models.UNet()(image)": "mask",
    'nn.LIPDownsample()(image, train="yes")': "train",
}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pyright")]


@pytest.fixture(scope="module")
def messages(tmp_path_factory) -> dict[str, tuple[str, str]]:
    """Return severity and message of pyright's diagnostics by line of the program."""
    pytest.importorskip("pyright", reason="pyright is in the extra `dev`")
    folder = tmp_path_factory.mktemp("user")
    lines = [f"reveal_type({result})" for result in RESULTS] + list(REFUSED)
    (folder / "program.py").write_text(PROGRAM + "\n".join(lines) + "\n")
    sources = (carafe_jax, carafe_pallas)
    settings = {
        "include": ["program.py"],
        "extraPaths": [str(pathlib.Path(x.__path__[0]).parent) for x in sources],
        "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    with start_python(
        *("-m", "pyright", "--outputjson"),
        *("--pythonpath", sys.executable, "-p", folder),
        environment={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    ) as pyright:
        pyright.finish(status=1)  # It finds the errors below.
        report = json.loads(pyright.stdout)
    before = PROGRAM.count("\n")
    return {
        lines[x["range"]["start"]["line"] - before]: (x["severity"], x["message"])
        for x in report["generalDiagnostics"]
    }


@pytest.mark.parametrize(("call", "result"), RESULTS.items())
def test_result_of_a_call_has_a_type(messages, call, result):
    severity, message = messages[f"reveal_type({call})"]
    assert severity == "information", message
    assert message.endswith(f' is "{result}"')


@pytest.mark.parametrize(("call", "argument"), REFUSED.items())
def test_wrong_argument_is_an_error(messages, call, argument):
    severity, message = messages[call]
    assert severity == "error"
    assert argument in message
