"""The command as a user types it."""

import importlib.metadata
import signal

import pytest

from carafe_jax import cli
from carafe_jax.cli.console import is_user_error
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.tasks.registry import TASKS
from carafe_jax.train import NotFiniteError
from tests.subprocesses import start_python

TINY = [
    *("--network.stage-features", "4", "8", "--network.resampler", "conv"),
    *("--data.crop-size", "16", "--data.batch-size", "2", "--data.test-crops", "1"),
    *("--loop.log-every", "1", "--loop.evaluate-every", "2", "--loop.save-every", "2"),
]
SUBCOMMANDS = (
    *("train", "evaluate", "fill", "detect", "segment", "classify", "export"),
)


def run(args, capsys):
    """Return the exit status of the command in this process and what it printed."""
    with pytest.raises(SystemExit) as ended:
        cli.main(args)
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out + printed.err


def test_help_lists_the_subcommands(capsys):
    status, text = run(["--help"], capsys)
    assert status == 0
    assert "usage: carafe-jax" in text
    for subcommand in SUBCOMMANDS:
        assert subcommand in text
    assert run([], capsys) == (2, text)


def test_required_values_are_shown_as_such(capsys):
    _, text = run(["classify", "--help"], capsys)
    assert "(default: )" not in text
    assert "IMAGE [IMAGE ...]" in text


def test_train_lists_the_tasks(capsys):
    status, text = run(["train", "--help"], capsys)
    assert status == 0
    assert all(task in text for task in TASKS)
    assert run(["train"], capsys) == (2, text)


@pytest.mark.parametrize("subcommand", SUBCOMMANDS[1:])
def test_help_of_a_subcommand_shows_its_command_and_the_options_of_all(
    subcommand, capsys
):
    status, text = run([subcommand, "--help"], capsys)
    assert status == 0
    assert f"usage: carafe-jax {subcommand}" in text
    for option in ("--model", "--which", "--output", "-o"):
        assert option in text
    # A line of the docstring stays a line.
    assert any(line.startswith("  Shows: ") for line in text.splitlines())


@pytest.mark.parametrize("task", list(TASKS))
def test_help_of_a_task_shows_the_options_of_every_run(task, capsys):
    status, text = run(["train", task, "--help"], capsys)
    assert status == 0
    assert f"usage: carafe-jax train {task}" in text
    for option in ("--workdir", "--loop.steps", "--start.model", "--data.source"):
        assert option in text


def test_names_of_tasks_may_have_underscores(capsys):
    status, text = run(["train", "adversarial_inpainting", "--help"], capsys)
    assert status == 0
    assert "usage: carafe-jax train adversarial-inpainting" in text


def test_version_is_that_of_the_package(capsys):
    version = importlib.metadata.version("carafe-jax")
    assert run(["--version"], capsys) == (0, f"carafe-jax {version}\n")


@pytest.mark.parametrize(
    "args",
    [
        ["fil"],
        ["train", "impainting"],
        ["train", "adversarial_impainting"],
        ["train", "inpainting", "--nine"],
    ],
)
def test_mistyped_words_are_refused(args, capsys):
    status, text = run(args, capsys)
    assert status == 2
    assert args[-1] in text.replace("-", "_") or args[-1] in text


def test_missing_extra_is_reported_in_one_line_with_the_remedy(capsys, monkeypatch):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    status, text = run(["--help"], capsys)
    assert status == 2
    assert text.count("\n") == 1
    assert "pip install 'carafe-jax[train]'" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--network.proposals.count", "0"],
            "error: `network.proposals.count` must be a positive int, got 0.",
        ),
        (
            ["--training.proposal-sampling.count", "0"],
            "error: `training.proposal_sampling.count` must be ",
        ),
        (
            ["--data.long-side", "8"],
            "error: `data.long_side` must be at least `data.short_side`, 800, got 8.",
        ),
        (
            ["--start.model", "a", "--start.weights", "b"],
            "error: One of `start.model` and `start.weights` must be None, got",
        ),
    ],
)
def test_errors_of_nested_options_have_their_whole_names(options, message, capsys):
    status, text = run(["train", "detection", *options], capsys)
    assert status == 2
    assert message in " ".join(text.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.source", "/nowhere"], "`data.source` must be an existing folder"),
        (["--data.crop-size", "5000"], "`data.crop_size` must be at most"),
        (["--data.source", "tfds:[mine]"], "pip install 'carafe-jax[tfds]'"),
        (["--loop.steps", "0"], "error: `loop.steps` must be positive, got 0."),
        (
            ["--optimizer.frozen", "("],
            "error: `optimizer.frozen` must hold regular expressions",
        ),
        (["--start.model", "/nowhere"], "`start.model` must be the folder of a run"),
    ],
)
def test_refusals_end_in_one_line_without_a_traceback(
    tmp_path, options, message, capsys
):
    args = ["train", "inpainting", "--workdir", str(tmp_path / "run"), *TINY, *options]
    status, text = run(args, capsys)
    assert status == 2
    assert message in " ".join(text.split())
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("error", "fixable"),
    [
        (RefusedError("`x` must be positive, got 0."), True),
        (MissingExtraError("needed"), True),
        (FileNotFoundError("gone"), True),
        (NotFiniteError("nan"), True),
        (ValueError("ours or a library's: a fault in the code"), False),
        (ImportError("a library's"), False),
    ],
)
def test_class_of_an_error_decides_how_it_is_printed(error, fixable):
    assert is_user_error(error) == fixable


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.weekly)]
)
def test_signalled_command_saves_and_reports_how_to_resume(tmp_path, number):
    scalars = tmp_path / "run" / "scalars.csv"
    with start_python(
        *("-m", "carafe_jax", "train", "inpainting"),
        *("--loop.steps", "100000", "--workdir", tmp_path / "run", *TINY),
        environment={"COLUMNS": "200"},
    ) as command:
        command.wait_for(
            lambda: scalars.exists() and "test" in scalars.read_text(), "evaluated"
        )
        command.send_signal(number)
        text = command.finish(status=128 + number)
    assert "Traceback" not in text
    assert "The same command resumes from here." in " ".join(text.split())
    assert any(p.name.isdigit() for p in (tmp_path / "run" / "checkpoints").iterdir())
