"""Settings of all tests, and of the processes that they start."""

import gc
import logging
import os
import signal
import subprocess

import jax
import pytest

# Most of the time is spent on compiling, which these flags make twice as fast.
FLAGS = ["--xla_cpu_parallel_codegen_split_count=1"]
if jax.__version_info__ < (0, 11):  # XLA aborts the process at an unknown flag.
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join(
    dict.fromkeys((*os.environ.get("XLA_FLAGS", "").split(), *FLAGS))
)

# Initializers compile four times faster with this generator. No test depends on the
# values that a generator returns.
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")
jax.config.update("jax_default_prng_impl", os.environ["JAX_DEFAULT_PRNG_IMPL"])


@pytest.fixture(scope="session", autouse=True)
def compile_fast(tmp_path_factory):
    """Compile for CPUs with few optimizations, and each program once per session.

    The programs of tests run for milliseconds, so that optimizing them does not pay.
    All processes of the session share a compilation cache.
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
    """Restore the handlers of signals that `nohup` and background jobs ignore.

    Child processes inherit them.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # Before `-m` looks at the markers.
def pytest_collection_modifyitems(items):
    """Mark tests of `aot` and `weekly` as slow, so that `-m "not slow"` works."""
    for item in items:
        if item.get_closest_marker("aot") or item.get_closest_marker("weekly"):
            item.add_marker("slow")


def pytest_collection_finish():
    """Collect garbage seldom: tracing makes many objects, of which few are garbage.

    Python looks through all of them after each 700 new ones, an eighth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Fail a test that starts a process, or whose fixtures do, unless it is `slow`."""
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
    """Remove the log handlers of a command, whose console is closed after its test."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler).__name__ in ("StreamHandler", "RichHandler"):
            root.removeHandler(handler)
