import functools
import threading
import warnings

import jax
import jax.numpy as jnp
import pytest
from carafe_pallas import deprecation, triton

from carafe_jax import reassemble

MESSAGE = (
    "The Pallas Triton backend is deprecated and will be removed in a future JAX"
    " version."
)
warn = functools.partial(warnings.warn, category=DeprecationWarning, stacklevel=1)


def test_that_warning_alone_is_silenced_and_on_its_own_platform():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with deprecation.silenced("cuda"):
            warn(MESSAGE)
            with pytest.raises(DeprecationWarning, match="another"):
                warn("another")
        with (
            deprecation.silenced("tpu"),
            pytest.raises(DeprecationWarning, match="Triton"),
        ):
            warn(MESSAGE)


def test_filters_are_restored_though_threads_overlap():
    filters = list(warnings.filters)
    barrier = threading.Barrier(4)

    def lower():
        barrier.wait()
        for _ in range(50):
            with deprecation.silenced("cuda"):
                warn(MESSAGE)

    threads = [threading.Thread(target=lower) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == filters


def test_a_program_is_lowered_without_the_warning(monkeypatch):
    # Stands in for JAX 0.11 and later, where the launch emits this warning.
    def launch(features, kernels, **options):
        warn(MESSAGE)
        return jnp.zeros((1, 8, 10, 128))

    monkeypatch.setattr(triton, "reassemble", launch)
    call = functools.partial(reassemble, implementation="triton")
    traced = jax.jit(call).trace(jnp.ones((1, 4, 5, 128)), jnp.ones((1, 8, 10, 1, 9)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        traced.lower(lowering_platforms=("cuda",))
        assert list(warnings.filters) == filters
