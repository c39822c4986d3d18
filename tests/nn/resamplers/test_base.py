"""Rules that every resampler follows."""

import fractions
import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from carafe_jax.nn import (
    AveragePoolDownsample,
    BilinearUpsample,
    PixelShuffleUpsample,
    resamplers,
)
from carafe_jax.nn.resamplers.base import ResamplingLayer
from tests.nn.resamplers.layers import (
    CONVOLUTIONS,
    DOWNSAMPLERS,
    LAYERS,
    LAYERS_AND_SCALES,
    UPSAMPLERS,
    WITHOUT_PARAMETERS,
    drawn_variables,
    normal,
    run,
    with_field,
)


def test_every_resampler_is_in_the_lists():
    exported = [getattr(resamplers, name) for name in resamplers.__all__]
    missing = {
        value.__name__
        for value in exported
        if isinstance(value, type) and issubclass(value, ResamplingLayer)
    } - {layer.__name__ for layer in LAYERS}
    assert not missing, (
        f"Add {sorted(missing)} to the lists of tests/nn/resamplers/layers.py."
    )


@pytest.mark.parametrize(
    ("layers", "suffix"), [(UPSAMPLERS, "Upsample"), (DOWNSAMPLERS, "Downsample")]
)
def test_name_ends_with_the_direction(layers, suffix):
    names = [layer.__name__ for layer in layers]
    misnamed = [name for name in names if not name.endswith(suffix)]
    assert not misnamed, (
        f"End the names {misnamed} with {suffix}: tests/models/test_resampling.py "
        "selects the resamplers of networks by this suffix."
    )


@pytest.mark.parametrize(("layer", "scale"), LAYERS_AND_SCALES)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 7), (6, 3)])
def test_output_has_the_scaled_size_rounded_up(layer, scale, size):
    ratio = fractions.Fraction(scale)
    out = jax.eval_shape(
        lambda features: run(layer(scale=scale), features),
        jax.ShapeDtypeStruct((2, *size, 3), jnp.float32),
    )
    assert out.shape == (2, *(math.ceil(length * ratio) for length in size), 3)


@pytest.mark.parametrize("layer", LAYERS)
def test_empty_batch_gives_an_empty_batch(layer):
    features = jnp.zeros((0, 4, 6, 3))
    out, gradient = jax.value_and_grad(lambda x: run(layer(), x).sum())(features)
    assert out == 0
    assert gradient.shape == features.shape


@pytest.mark.parametrize("layer", with_field("features"))
@pytest.mark.parametrize(("features", "expected"), [(None, 3), (7, 7)])
def test_features_sets_the_number_of_output_channels(layer, features, expected):
    out = jax.eval_shape(
        lambda inputs: run(layer(features=features), inputs), jnp.zeros((1, 4, 4, 3))
    )
    assert out.shape[-1] == expected


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_output_and_gradient_have_the_dtype_of_the_input(layer, dtype):
    out, gradient = jax.eval_shape(
        jax.value_and_grad(lambda features: run(layer(), features).sum()),
        jax.ShapeDtypeStruct((1, 4, 6, 3), dtype),
    )
    assert out.dtype == dtype
    assert gradient.dtype == dtype


@pytest.mark.parametrize("layer", LAYERS)
def test_bfloat16_is_near_float32(layer):
    features = jnp.asarray(normal(0, 1, 4, 6, 3), jnp.bfloat16)
    out = run(layer(), features).astype(jnp.float32)
    expected = run(layer(), features.astype(jnp.float32))
    # Parameters and sums of up to 27 products of about 1 are rounded to 8 bits.
    chex.assert_trees_all_close(out, expected, atol=0.2)


@pytest.mark.parametrize("layer", LAYERS)
def test_dtype_sets_the_dtype_of_the_output(layer):
    assert run(layer(dtype=jnp.bfloat16), normal(0, 1, 4, 6, 3)).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if layer not in WITHOUT_PARAMETERS]
)
def test_param_dtype_sets_the_dtype_of_the_parameters(layer):
    variables = drawn_variables(
        layer(param_dtype=jnp.bfloat16), jnp.zeros((1, 4, 4, 3))
    )
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(variables)}
    assert dtypes, (
        f"{layer.__name__} has no parameters: add it to WITHOUT_PARAMETERS in "
        "tests/nn/resamplers/layers.py."
    )
    assert dtypes == {"bfloat16"}


@pytest.mark.parametrize(
    "layer",
    [BilinearUpsample(scale="3/2"), AveragePoolDownsample(kernel_size=5)],
    ids=lambda layer: type(layer).__name__,
)
def test_low_precision_is_rounded_once_at_the_end(layer):
    features = jnp.asarray(normal(0, 2, 9, 7, 3), jnp.bfloat16)
    exact = run(layer, features.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(run(layer, features), exact)


@pytest.mark.parametrize("layer", LAYERS)
def test_train_changes_nothing(layer):
    features = normal(0, 1, 4, 6, 3)
    np.testing.assert_array_equal(
        run(layer(), features, train=True), run(layer(), features, train=False)
    )


@pytest.mark.parametrize("layer", CONVOLUTIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_of_a_convolution_are_named_conv(layer, use_bias):
    features = jnp.zeros((1, 4, 4, 3))
    variables = drawn_variables(layer(features=2, use_bias=use_bias), features)
    outputs = 8 if layer is PixelShuffleUpsample else 2
    bias = {"bias": (outputs,)} if use_bias else {}
    expected = {"kernel": (3, 3, 3, outputs)} | bias
    assert jax.tree.map(jnp.shape, variables) == {"params": {"conv": expected}}


@pytest.mark.parametrize("layer", WITHOUT_PARAMETERS)
def test_layer_without_weights_has_no_parameters(layer):
    assert layer().init(jax.random.key(0), jnp.zeros((1, 4, 4, 3))) == {}


@pytest.mark.parametrize("layer", with_field("bias_init"))
def test_initializers_reach_the_parameters(layer):
    initialised = layer(
        kernel_init=jax.nn.initializers.constant(2.0),
        bias_init=jax.nn.initializers.constant(3.0),
    ).init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    (params,) = initialised["params"].values()
    assert jnp.all(params["kernel"] == 2)
    assert jnp.all(params["bias"] == 3)


@pytest.mark.parametrize("layer", LAYERS)
def test_vmap_is_the_same_as_a_loop(layer):
    features = normal(0, 2, 1, 4, 6, 3)
    variables = drawn_variables(layer(), features[0])
    out = jax.vmap(lambda x: layer().apply(variables, x))(features)
    expected = jnp.stack([layer().apply(variables, x) for x in features])
    # Batched convolutions may sum in another order.
    chex.assert_trees_all_close(out, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "scale"),
    [
        pytest.param(*case, marks=[] if case[1] in (2, "1/2") else pytest.mark.slow)
        for case in LAYERS_AND_SCALES
        if case[1] in (2, "3/2", "1/2", "1/3")
    ],
)
def test_exported_program_takes_maps_of_any_size(layer, scale):
    sizes = [(2, 5, 7, 3), (1, 8, 2, 3)]
    layer = layer(scale=scale)
    variables = drawn_variables(layer, jnp.zeros(sizes[0]))
    apply = jax.jit(functools.partial(layer.apply, variables))
    shape = export.symbolic_shape("n, h, w, 3")
    program = export.export(apply)(jax.ShapeDtypeStruct(shape, jnp.float32))
    for size in sizes:
        features = normal(0, *size)
        # Sums of up to 27 products of about 1, in another order.
        chex.assert_trees_all_close(program.call(features), apply(features), atol=1e-5)


# Refusals


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(4, 6, 3), (1, 1, 4, 6, 3)])
def test_wrong_rank_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*got shape \("):
        run(layer(), jnp.zeros(shape))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bool_, jnp.complex64])
def test_dtype_that_is_not_floating_is_refused(layer, dtype):
    message = f"`features` must be floating, got dtype {jnp.dtype(dtype)}"
    with pytest.raises(ValueError, match=message):
        run(layer(), jnp.zeros((1, 4, 6, 3), dtype))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(1, 0, 6, 3), (1, 4, 0, 3), (1, 4, 6, 0)])
def test_map_without_pixels_or_channels_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"`features` must have at least one row.*0"):
        run(layer(), jnp.zeros(shape))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_float_scale_is_refused_and_fraction_is_named(layer, scale):
    with pytest.raises(ValueError, match=rf"`scale`.*Fraction.*{scale}"):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scale", [0, -2])
def test_scale_that_is_not_positive_is_refused(layer, scale):
    with pytest.raises(ValueError, match=rf"`scale`.*{scale}"):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", with_field("kernel_size"))
@pytest.mark.parametrize("kernel_size", [0, -1, 3.0, (3, 3)])
def test_kernel_size_that_is_no_positive_int_is_refused(layer, kernel_size):
    with pytest.raises(
        ValueError, match=r"`kernel_size` must be a positive (odd )?int, got [-0(3]"
    ):
        run(layer(kernel_size=kernel_size), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_convolution_refuses_an_even_window(layer):
    with pytest.raises(
        ValueError, match="`kernel_size` must be a positive odd int, got 4"
    ):
        run(layer(kernel_size=4), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", with_field("features"))
def test_no_output_channel_is_refused(layer):
    with pytest.raises(
        ValueError, match="`features` must be None or at least 1, got 0"
    ):
        run(layer(features=0), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", UPSAMPLERS)
@pytest.mark.parametrize(
    ("scale", "end"), [("1/2", r"got '1/2'; did you mean '2'\?"), ("2/3", "got '2/3'")]
)
def test_upsampler_refuses_a_scale_below_one(layer, scale, end):
    message = rf"`scale` must be at least 1 to up-sample \(.*\), {end}"
    with pytest.raises(ValueError, match=message):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", DOWNSAMPLERS)
@pytest.mark.parametrize(
    ("scale", "end"),
    [
        (2, r"got 2; did you mean '1/2'\?"),
        (fractions.Fraction(3, 2), r"got Fraction\(3, 2\)\."),
    ],
)
def test_downsampler_refuses_a_scale_above_one(layer, scale, end):
    message = rf"`scale` must be at most 1 to down-sample \(.*\), {end}"
    with pytest.raises(ValueError, match=message):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", DOWNSAMPLERS)
def test_downsampler_refuses_a_scale_that_is_not_one_over_n(layer):
    message = "`scale` must be 1/n with a whole n for this layer, got 2/3"
    with pytest.raises(ValueError, match=message):
        run(layer(scale="2/3"), jnp.zeros((1, 4, 6, 3)))
