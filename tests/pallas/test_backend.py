import pytest
from carafe_pallas.backend import BACKENDS, PLATFORMS, module_of, platform_of


@pytest.mark.parametrize("name", BACKENDS)
def test_the_module_of_a_backend_has_its_name(name):
    # The files of tuned configurations are read by it.
    assert module_of(name).__name__ == f"carafe_pallas.{name}"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_of_one_platform(name):
    of = [platform for platform, backends in PLATFORMS.items() if name in backends]
    assert of == [platform_of(name)]
