"""Settings of all tests, and of the processes that they start."""

import logging
import os
import signal
import subprocess

import jax
import pytest

# Compiling takes most of the time, and half of it with these.
FLAGS = ["--xla_cpu_parallel_codegen_split_count=1"]
if jax.__version_info__ < (0, 11):  # XLA ends the process at a flag it does not know.
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join(
    dict.fromkeys((*os.environ.get("XLA_FLAGS", "").split(), *FLAGS))
)

# Initializers compile four times faster with this generator. No test asks for the
# numbers of a generator.
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")
jax.config.update("jax_default_prng_impl", os.environ["JAX_DEFAULT_PRNG_IMPL"])


@pytest.fixture(scope="session", autouse=True)
def compile_fast(tmp_path_factory):
    """Compile for CPUs without what costs more than it saves, the same program once.

    Programs of tests run for milliseconds. What is compiled is kept for the session, in
    a folder that its processes share.
    """
    if jax.default_backend() != "cpu":
        return
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    for name, value in {
        "jax_disable_most_optimizations": True,
        "jax_compilation_cache_dir": str(shared / "programs"),
        "jax_persistent_cache_min_compile_time_secs": 0.3,
    }.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


@pytest.fixture(scope="session", autouse=True)
def handle_signals_as_in_a_terminal():
    """Undo what `nohup` and jobs in the background ignore, for child processes too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # Before `-m` looks at the markers.
def pytest_collection_modifyitems(items):
    """Mark as slow what compiles ahead of time: `-m "not slow"` leaves it out, too."""
    for item in items:
        if item.get_closest_marker("aot"):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Let no test, nor its fixtures, start a process unless it is marked as slow."""
    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("slow"):
            patch.setattr(subprocess.Popen, "__init__", _refuse_process)
        return (yield)


def _refuse_process(self: object, args: object, *_: object, **__: object) -> None:
    pytest.fail(
        f"A test that starts a process must be marked `slow`, got {args}. Start it by "
        "`tests/subprocesses.py`."
    )


@pytest.fixture(autouse=True)
def close_log_handlers():
    """Remove the handlers of a command, whose console ends with its test."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler).__name__ in ("StreamHandler", "RichHandler"):
            root.removeHandler(handler)
