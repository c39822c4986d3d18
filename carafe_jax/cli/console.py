"""Code shared by all commands: options, log lines, one-line errors, exit statuses."""

import contextlib
import dataclasses
import io
import logging
import os
import pathlib
import signal
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from carafe_jax.arguments import in_group
from carafe_jax.cli.help import describe_fields, keep_lines
from carafe_jax.cli.streams import (
    PipedConsole,
    escape_unencodable,
    exit_on_broken_pipe,
)
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.files import check_local

Config = TypeVar("Config")

_POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]


def run(
    main: Callable[[Config, Console], int],
    config: Config | type[Config],
    *,
    doc: str | None,
    program: str | None = None,
    args: Sequence[str] | None = None,
    stopped: str = "Stopped.",
) -> NoReturn:
    """Run a command with options from the command line; exit with its status.

    Every field of the configuration is an option; `--help` lists them with their
    defaults. An error that the user can fix is printed in one line; every other error
    keeps its traceback.

    Args:
      main: Called with the configuration and a console; returns the exit status.
      config: Dataclass of default values; or its class, where some values are
        required.
      doc: Text above the options in `--help`, printed line by line.
      program: The command in the usage line; by default how Python was called.
      args: Arguments; by default those of the process.
      stopped: Line to print when the user stops the command (Ctrl-C).
    """
    escape_unencodable()
    with exit_on_broken_pipe():
        _run(main, config, doc, program or called_as(), args, stopped)
    raise AssertionError("A command ends by exiting.")


def _run(
    main: Callable[[Config, Console], int],
    config: Config | type[Config],
    doc: str | None,
    program: str,
    args: Sequence[str] | None,
    stopped: str,
) -> NoReturn:
    options: dict[str, Any] = {} if isinstance(config, type) else {"default": config}
    options |= {"prog": program, "args": args}
    options["description"] = keep_lines(doc or "")
    console = PipedConsole()
    log_to(console)
    try:
        kind: Any = config if isinstance(config, type) else type(config)
        parsed = _parse(kind, **options)
        for option, path in _paths(parsed):
            check_local(option, path)
        from carafe_jax.train.signal_watch import respond_while_compiling

        with respond_while_compiling():
            status = main(parsed, console)
    except KeyboardInterrupt as error:
        _end_bars(error)
        console.print(stopped)
        _exit_immediately(128 + signal.SIGINT)
    except Exception as error:
        if isinstance(error, BrokenPipeError) or not is_user_error(error):
            raise
        _end_bars(error)
        kind = config if isinstance(config, type) else type(config)
        text = with_option_names(_message(error), kind)
        message = Text.assemble(("error: ", "bold red"), text)
        PipedConsole(stderr=True).print(message, soft_wrap=True)
        status = 2
    if status > 128 and not _has_joined_others():
        _exit_immediately(status)
    sys.exit(status)


def _end_bars(error: BaseException) -> None:
    """End the progress bars of generators that the frames of an error still hold."""
    traceback.clear_frames(error.__traceback__)


def _has_joined_others() -> bool:
    import jax

    return jax.distributed.is_initialized()


def _exit_immediately(status: int) -> NoReturn:
    """Exit after a signal, without waiting for other threads.

    With `sys.exit`, a thread that compiles would crash, and a thread that is blocked by
    a file of an unreachable server would be waited for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _parse(kind: type[Config], **options: Any) -> Config:
    """Parse a command line; raise an error of the configuration itself.

    Tyro would print it in a box, with additions. The error of a group of options names
    them as the command line does: `loop.steps` for `steps`.
    """
    describe_fields(kind)
    unread = io.StringIO()
    try:
        with contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
            return tyro.cli(kind, **options)
    except SystemExit as ended:
        error: BaseException | None = ended
        group = ""
        while error is not None:
            if isinstance(error, RefusedError):
                raise RefusedError(_with_group(str(error), group, kind)) from None
            # Tyro's error, which replaced ours, has the group: "network.box-head".
            if isinstance(arg := getattr(error, "arg", None), str):
                group = arg.replace("-", "_")
            error = error.__context__
    # Parse again, to print the help, or the error for unknown options.
    return tyro.cli(kind, **options)


def _with_group(message: str, group: str, config: type[Any]) -> str:
    """Return an error of a group of options with the whole names of its options.

    Args:
      message: Error.
      group: Path of the group, such as "network.proposals"; empty for the outermost.
      config: Dataclass that has the group.
    """
    for name in group.split(".") if group else ():
        config = typing.get_type_hints(config)[name]
    return in_group(message, group, config)


def _paths(value: Any, name: str = "") -> Iterator[tuple[str, pathlib.Path]]:
    """Yield the name of the option and the path of each path in a configuration."""
    if isinstance(value, pathlib.Path):
        yield name, value
    elif isinstance(value, tuple):
        for item in value:
            yield from _paths(item, name)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _paths(getattr(value, field.name), inner)


def is_user_error(error: Exception) -> bool:
    """Return whether the user can fix an error, by its class."""
    from carafe_jax.train import NotFiniteError

    return isinstance(
        error, RefusedError | MissingExtraError | OSError | NotFiniteError
    )


def _message(error: Exception) -> str:
    if not isinstance(error, OSError) or not error.strerror or not error.filename:
        return str(error)
    return f"{os.fsdecode(error.filename)!r}: {error.strerror}."


def with_option_names(text: str, config: type[Any]) -> str:
    """Return a message whose arguments are named as on the command line.

    Errors name the fields of a configuration: `batch_size` is `--batch-size` there, and
    a positional argument has its name in the usage line.

    Args:
      text: Message.
      config: Dataclass of the options. Fields within its fields are left as they are.
    """
    hints = typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if not dataclasses.is_dataclass(hint):
            text = text.replace(f"`{field.name}`", f"`{_option(field.name, hint)}`")
    return text


def _option(name: str, hint: Any) -> str:
    """Return the name of a field on the command line."""
    notes = getattr(hint, "__metadata__", ())
    if _POSITIONAL not in notes:
        return f"--{name.replace('_', '-')}"
    shown = [note.metavar for note in notes if getattr(note, "metavar", None)]
    return shown[0].split()[0] if shown else name.upper()


def log_to(console: Console) -> None:
    """Send log lines through a console, above its bars; to a file as plain text."""
    handler: logging.Handler = logging.StreamHandler(sys.stdout)
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
    # `force`: importing absl installs its own root handler.
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[handler], force=True
    )
    logging.getLogger("carafe_jax").setLevel(logging.INFO)
    # Orbax reports each save and each deletion through absl.
    logging.getLogger("absl").setLevel(logging.ERROR)


def called_as() -> str:
    """Return how Python was called, for the usage line of a command."""
    module = sys.modules["__main__"].__spec__
    return f"python -m {module.name}" if module is not None else sys.argv[0]
