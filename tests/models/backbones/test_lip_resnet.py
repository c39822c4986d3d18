"""The block of LIP's ResNet against its authors' code."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.models import Classifier, LIPBlock, LIPBottleneck, ResNet50
from carafe_jax.nn import LIPDownsample
from tests.nn.torch_goldens import load, nhwc, value_and_gradients

# File name: number of inner channels and of blocks.
STAGES = {"lip_stage_eval": (4, 2), "lip_stage_train_odd": (6, 1)}
TRAIN = {"lip_stage_eval": False, "lip_stage_train_odd": True}

MODULES = {
    "conv1": "conv1",
    "bn1": "norm1",
    "conv2": "conv2",
    "conv2.1": "conv2",
    "bn2": "norm2",
    "conv3": "conv3",
    "bn3": "norm3",
    "downsample.conv": "shortcut_conv",
    "downsample.bn": "shortcut_norm",
    "bottleneck_shared.logit.conv1": "trunk/conv1",
    "bottleneck_shared.logit.bn1": "trunk/norm1",
    "bottleneck_shared.logit.conv2": "trunk/conv2",
    "bottleneck_shared.logit.bn2": "trunk/norm2",
    "conv2.0.postprocessing.conv": "pool/conv",
    "conv2.0.postprocessing.bn": "pool/norm",
    "downsample.lip.postprocessing.conv": "shortcut_pool/conv",
    "downsample.lip.postprocessing.bn": "shortcut_pool/norm",
}
STATISTICS = {"running_mean": "mean", "running_var": "var"}


def read(golden, prefix):
    """Return parameters and statistics as Flax variables."""
    arrays = {"params": {}, "batch_stats": {}}
    for key in golden.files:
        if not key.startswith(f"{prefix}/") or key.endswith("num_batches_tracked"):
            continue
        block, _, name = key.removeprefix(f"{prefix}/").partition(".")
        module, _, leaf = name.rpartition(".")
        path, array = f"{block}/{MODULES[module]}", golden[key]
        if leaf in STATISTICS:
            arrays["batch_stats"][f"{path}/{STATISTICS[leaf]}"] = array
        elif array.ndim == 4:
            arrays["params"][f"{path}/kernel"] = array.transpose(2, 3, 1, 0)
        else:
            arrays["params"][f"{path}/{'bias' if leaf == 'bias' else 'scale'}"] = array
    return arrays


def nest(arrays):
    tree = {}
    for path, array in arrays.items():
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = array
    return tree


def apply_stage(name, params, batch_stats, features):
    width, blocks = STAGES[name]
    stats = {}
    for index in range(blocks):
        key, scale = str(index), 1 if index else "1/2"
        block = LIPBottleneck(width, scale=scale, trunk_features=8)
        variables = {
            "params": nest(params)[key],
            "batch_stats": nest(batch_stats)[key],
        }
        features, stats[key] = block.apply(
            variables, features, train=TRAIN[name], mutable=["batch_stats"]
        )
    return features, stats


def results(name, dtype):
    golden = load(name)
    arrays = jax.tree.map(lambda x: jnp.asarray(x, dtype), read(golden, "state_dict"))
    features = jnp.asarray(nhwc(golden["input/0"]), dtype)

    def stage(params, features):
        return apply_stage(name, params, arrays["batch_stats"], features)[0]

    out, (params, gradient) = value_and_gradients(
        stage, nhwc(golden["R/0"]), arrays["params"], features
    )
    expected = read(golden, "ref64_grad_param")["params"]
    params = {path: params[path] for path in expected}
    actual = {"output": out, "features": gradient} | params
    expected |= {
        "output": nhwc(golden["ref64_output/0"]),
        "features": nhwc(golden["ref64_grad_input/0"]),
    }
    return actual, expected


def check(name, dtype, tolerance):
    actual, expected = results(name, dtype)
    for path, array in actual.items():
        assert array.dtype == dtype
        # Relative to the largest value: sums cancel.
        atol = tolerance * np.max(np.abs(expected[path]))
        np.testing.assert_allclose(
            np.float64(array), expected[path], rtol=0, atol=atol, err_msg=path
        )


@pytest.mark.parametrize("name", STAGES)
def test_output_and_gradients_are_those_of_the_authors_in_float64(name):
    with jax.enable_x64(True):
        check(name, jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", STAGES)
def test_output_and_gradients_are_those_of_the_authors_in_float32(name):
    # PyTorch itself is within 2e-6; the gate multiplies the rounding of norms by 12.
    check(name, jnp.float32, tolerance=2e-5)


@pytest.mark.slow
def test_running_statistics_are_those_of_the_authors():
    name = "lip_stage_train_odd"
    with jax.enable_x64(True):
        golden = load(name)
        before = jax.tree.map(np.float64, read(golden, "state_dict"))
        features = jnp.asarray(nhwc(golden["input/0"]), jnp.float64)
        params, stats = before["params"], before["batch_stats"]
        _, after = apply_stage(name, params, stats, features)
        expected = nest(read(golden, "ref64_state_after")["batch_stats"])
        chex.assert_trees_all_close(
            after["0"]["batch_stats"], expected["0"], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
@pytest.mark.parametrize("scale", [1, "1/2", "1/3"])
def test_size_is_rounded_up_and_channels_are_four_times_the_inner_ones(scale, size):
    block = LIPBottleneck(4, scale=scale, trunk_features=8)
    out, _ = jax.eval_shape(
        block.init_with_output, jax.random.key(0), jnp.zeros((2, *size, 6))
    )
    divisor = {1: 1, "1/2": 2, "1/3": 3}[scale]
    assert out.shape == (2, *(-(-length // divisor) for length in size), 16)


def test_block_starts_as_its_shortcut():
    features = jnp.abs(jax.random.normal(jax.random.key(1), (1, 4, 4, 16)))
    block = LIPBottleneck(4, scale=1)
    out, _ = block.init_with_output(jax.random.key(0), features)
    np.testing.assert_array_equal(out, features)


def test_bfloat16_stays_bfloat16():
    features = jnp.ones((1, 5, 6, 16), jnp.bfloat16)
    out, _ = jax.eval_shape(
        LIPBottleneck(4, trunk_features=8).init_with_output, jax.random.key(0), features
    )
    assert out.dtype == jnp.bfloat16


def test_scale_that_enlarges_is_refused():
    with pytest.raises(ValueError, match="`scale` must be at most 1 to down-sample"):
        LIPBottleneck(4, scale=2).init(jax.random.key(0), jnp.zeros((1, 4, 4, 16)))


def count_parameters(module, channels):
    shapes = jax.eval_shape(
        module.init, jax.random.key(0), jnp.zeros((1, 8, 8, channels))
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def test_resnet50_of_these_blocks_has_as_many_parameters_as_that_of_the_authors():
    backbone = ResNet50(block=LIPBlock, downsample=LIPDownsample)
    assert count_parameters(Classifier(backbone, classes=1000), 3) == 23_864_232


@pytest.mark.parametrize("rematerialize", ["nothing", "blocks"])
def test_resnet_of_these_blocks_runs_on_any_size(rematerialize):
    network = ResNet50(
        block=LIPBlock,
        downsample=LIPDownsample,
        width=4,
        rematerialize=rematerialize,
        dtype=jnp.bfloat16,
    )
    image = jnp.zeros((2, 65, 47, 3))
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    stages = jax.eval_shape(network.apply, variables, image)
    assert [x.shape[1:] for x in stages] == [
        (17, 12, 16),
        (9, 6, 32),
        (5, 3, 64),
        (3, 2, 128),
    ]
    assert {x.dtype for x in stages} == {jnp.dtype(jnp.bfloat16)}
