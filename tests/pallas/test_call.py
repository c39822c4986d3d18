import pytest
from carafe_pallas.call import Call

from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase, to_pixels

CASES = [
    LaunchCase(Case(scale=2, kernel_size=5, groups=1, shape=(2, 5, 7, 6))),
    LaunchCase(Case(scale="1/2", kernel_size=3, groups=2, shape=(1, 8, 19, 4))),
    LaunchCase(Case(scale="3/2", kernel_size=5, groups=2, shape=(1, 5, 7, 4))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shapes_of_a_call_are_those_of_its_arrays(case):
    features, kernels, cotangent = case.draw()
    assert case.call.features_shape == features.shape
    assert case.call.output_shape == cotangent.shape
    assert case.call.anchor_kernels_shape == kernels.shape
    assert case.call.pixel_kernels_shape == to_pixels(kernels, case).shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_features_and_cotangent_describe_the_same_call(case):
    features, kernels, cotangent = case.draw()
    for pixels in (features, cotangent):
        call = Call.of(pixels, kernels.dtype, geometry=case.geometry, normalizer=None)
        assert call == case.call
