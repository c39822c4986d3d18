"""All public layers, losses and metrics under the strict modes of JAX."""

import contextlib
import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import losses, metrics
from carafe_jax.models import spline_fill
from carafe_jax.tasks.classification.loss import CrossEntropy
from carafe_jax.tasks.classification.quality import measure_each
from carafe_jax.tasks.detection import detection_losses
from carafe_jax.tasks.inpainting.loss import ReconstructionLoss
from carafe_jax.tasks.inpainting.quality import quality_of_each
from tests import tiny_detectors
from tests.every_layer import (
    BLOCKS_OF_RESNET,
    FIELDS,
    NETWORKS,
    classes,
    inputs_of,
    made,
    public_layers,
    switch_of,
    variables_of,
)

# Networks are tried in bfloat16 only, which mixes with their float32 parameters.
LAYERS_AND_DTYPES = [
    pytest.param(
        name, dtype, marks=[pytest.mark.slow] if name in NETWORKS - {"UNet"} else []
    )
    for name in classes()
    for dtype in (jnp.float32, jnp.bfloat16)
    if not (name in NETWORKS and dtype == jnp.float32)
    and not (name in BLOCKS_OF_RESNET and dtype == jnp.bfloat16)
]

LOGITS = np.random.default_rng(0).normal(size=(2, 3, 4, 1)).astype(np.float32)
IMAGES = np.random.default_rng(1).uniform(size=(2, 2, 16, 12, 3)).astype(np.float32)
MASKS = np.zeros((2, 16, 12, 1), np.float32)
MASKS[:, 2:5, 3:9] = 1
LABELS = jnp.array([2, 0], jnp.int32)
PIXEL_LABELS = np.array([0, 1, 2, 255], np.uint8).repeat(6).reshape(2, 3, 4)
KINDS = ("vanilla", "least_squares", "wasserstein", "hinge")
WEIGHTS = LOGITS > 0
BOX_CLASSES = jnp.array([[2, 0, 1, 2], [1, 1, 2, 0], [0, 2, 1, 1]], jnp.int32)
# Any: batches are NumPy's, and JAX's where a loss is traced.
BATCH: Any = {"image": jnp.asarray(IMAGES[0]), "mask": jnp.asarray(MASKS)}

FUNCTIONS = {
    **{
        f"discriminator_loss {kind}": (
            functools.partial(losses.discriminator_loss, kind=kind, weights=WEIGHTS),
            (LOGITS, -LOGITS),
        )
        for kind in KINDS
    },
    **{
        f"generator_loss {kind}": (
            functools.partial(losses.generator_loss, kind=kind),
            (LOGITS,),
        )
        for kind in KINDS
    },
    "objectness_loss": (
        functools.partial(
            losses.objectness_loss,
            positive=LOGITS[0] > 0,
            weights=np.ones_like(LOGITS[0]),
            count=jnp.asarray(3.0),
        ),
        (LOGITS[0],),
    ),
    "box_loss": (
        functools.partial(
            losses.box_loss,
            targets=np.zeros((3, 4), np.float32),
            weights=np.ones(3, np.float32),
            count=jnp.asarray(3.0),
        ),
        (LOGITS[0, :, :, 0],),
    ),
    "classification_loss": (
        functools.partial(
            losses.classification_loss,
            classes=BOX_CLASSES,
            weights=np.ones((3, 4), np.float32),
            count=jnp.asarray(3.0),
        ),
        (np.broadcast_to(LOGITS[0], (3, 4, 5)),),
    ),
    "mask_loss": (
        functools.partial(
            losses.mask_loss,
            targets=LOGITS[..., 0] > 0,
            weights=np.array([1, 0], np.float32),
        ),
        (LOGITS[..., 0],),
    ),
    "pixel_loss": (
        lambda logits: losses.pixel_loss(logits, PIXEL_LABELS).mean,
        (np.broadcast_to(LOGITS, (2, 3, 4, 3)),),
    ),
    "masked_l1": (functools.partial(losses.masked_l1, mask=MASKS), tuple(IMAGES)),
    "patch_weights": (functools.partial(losses.patch_weights, size=(3, 5)), (MASKS,)),
    "inpainting_quality": (
        functools.partial(metrics.inpainting_quality, masks=MASKS),
        tuple(IMAGES),
    ),
    "ssim_map": (metrics.ssim_map, tuple(IMAGES)),
    "to_unit_range": (metrics.to_unit_range, (IMAGES[0],)),
    "lattice_energy": (
        functools.partial(metrics.lattice_energy, masks=np.ones_like(MASKS)),
        (IMAGES[0],),
    ),
    "lattice_map": (
        functools.partial(metrics.lattice_map, masks=np.ones_like(MASKS)),
        (IMAGES[0],),
    ),
    "spline_fill": (functools.partial(spline_fill, mask=MASKS), (IMAGES[0],)),
    "CrossEntropy": (
        functools.partial(CrossEntropy(label_smoothing=0.1), label=LABELS),
        (LOGITS[:, 0, :, 0],),
    ),
    "ReconstructionLoss": (
        lambda predicted: ReconstructionLoss()(predicted, BATCH)[0],
        (IMAGES[1],),
    ),
    "measure_each": (
        functools.partial(measure_each, label=LABELS),
        (LOGITS[:, 0, :, 0],),
    ),
    "quality_of_each": (
        lambda filled: quality_of_each(filled, BATCH),
        (IMAGES[1],),
    ),
}


@contextlib.contextmanager
def strict():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def sum_of(tree):
    leaves = jax.tree.leaves(tree)
    return sum(jnp.square(leaf.astype(jnp.float32)).sum() for leaf in leaves)


def loss_of_layer(name, dtype, *, train):
    layer, inputs = made(name), inputs_of(name, dtype)

    def loss(variables):
        switch = switch_of(name, train=train)
        mutable = ["batch_stats"] if train else False
        out = layer.apply(variables, *inputs, switch, mutable=mutable)
        return sum_of(out)

    return layer, loss


def test_every_public_layer_loss_and_metric_is_tried():
    missing = set(public_layers()) - set(FIELDS)
    assert not missing, f"Add {sorted(missing)} to FIELDS of tests/every_layer.py."
    functions = {
        name
        for package in (losses, metrics)
        for name in package.__all__
        if not isinstance(getattr(package, name), type)
    }
    # They take no arrays, or those of NumPy alone.
    functions -= {"average_precision", "confusion_matrix", "segmentation_quality"}
    missing = functions - {name.split()[0] for name in FUNCTIONS}
    assert not missing, f"Add {sorted(missing)} to FUNCTIONS of this file."


@pytest.mark.parametrize(("name", "dtype"), LAYERS_AND_DTYPES)
def test_layer_and_its_gradient_trace_under_strict_promotion(name, dtype):
    with strict():
        layer, loss = loss_of_layer(name, dtype, train=True)
        init = functools.partial(layer.init, jax.random.key(0))
        inputs = inputs_of(name, dtype)
        switch = switch_of(name, train=True)
        variables = jax.eval_shape(lambda *x: init(*x, switch), *inputs)
        gradients = jax.eval_shape(jax.grad(loss), variables)
        chex.assert_trees_all_equal_shapes_and_dtypes(gradients, variables)
        _, loss = loss_of_layer(name, dtype, train=False)
        assert jax.eval_shape(loss, variables).dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["PartialCARAFE"])
def test_layer_runs_under_strict_promotion(name, dtype):
    layer, loss = loss_of_layer(name, dtype, train=True)
    variables = variables_of(layer, name, dtype)
    expected = jax.jit(jax.value_and_grad(loss))(variables)
    with strict():
        chex.assert_trees_all_equal(
            jax.jit(jax.value_and_grad(loss))(variables), expected
        )


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_loss_or_metric_traces_under_strict_promotion(name, dtype):
    function, arguments = FUNCTIONS[name]
    arguments = [jnp.asarray(argument, dtype) for argument in arguments]
    with strict():
        jax.eval_shape(
            jax.grad(lambda *arguments: sum_of(function(*arguments))), *arguments
        )


# The others are made of these and of flax's layers; all run under this mode where their
# gradients are compared, in `tests/models/test_lifted_transforms.py`.
@pytest.mark.parametrize(
    "name",
    [
        "BatchNorm",
        pytest.param("CARAFE", marks=pytest.mark.slow),
        "DPPDownsample",
        pytest.param("LIPDownsample", marks=pytest.mark.slow),
        "PartialConv",
    ],
)
def test_no_operation_of_a_layer_makes_nan(name):
    layer, loss = loss_of_layer(name, jnp.float32, train=True)
    variables = variables_of(layer, name)
    with jax.debug_nans(True):
        assert np.isfinite(jax.value_and_grad(loss)(variables)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PartialGlobalLocalCARAFE", "ResNet"])
def test_no_network_makes_nan(name):
    layer, loss = loss_of_layer(name, jnp.float32, train=True)
    variables = variables_of(layer, name)
    with jax.debug_nans(True):
        assert np.isfinite(jax.jit(jax.value_and_grad(loss))(variables)[0])


# Of no loss: no gradient.
MEASURES = ["inpainting_quality", "quality_of_each"]
# NaN is their result where holes are not deep enough.
NAN = ["lattice_energy", "lattice_map"]


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {*MEASURES, *NAN}))
def test_no_loss_or_metric_makes_nan(name):
    function, arguments = FUNCTIONS[name]
    loss = jax.value_and_grad(lambda *x: sum_of(function(*x)))
    with jax.debug_nans(True):
        value, _ = jax.jit(loss)(*map(jnp.asarray, arguments))
    assert np.isfinite(value)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_no_metric_makes_nan(name):
    function, arguments = FUNCTIONS[name]
    with jax.debug_nans(True):
        value = jax.jit(lambda *x: sum_of(function(*x)))(*map(jnp.asarray, arguments))
    assert np.isfinite(value)


DETECTORS = pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn"])


def losses_of_detector(name, dtype):
    """Return a function of weights and a batch, and its arguments."""
    detector = getattr(tiny_detectors, name)()
    batch = tiny_detectors.batch()
    batch = dataclasses.replace(batch, images=batch.images.astype(dtype))

    def loss(variables, batch):
        key = jax.random.key(0)
        settings = tiny_detectors.TRAINING
        return detection_losses(detector, variables, batch, key, settings=settings)

    return loss, (tiny_detectors.variables_of(detector), batch)


@pytest.mark.slow
@DETECTORS
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_detector_and_its_losses_trace_under_strict_promotion(name, dtype):
    detector = getattr(tiny_detectors, name)()
    loss, (variables, batch) = losses_of_detector(name, dtype)
    with strict():
        gradients = jax.eval_shape(
            jax.grad(lambda *x: loss(*x).total, allow_int=True), variables, batch
        )
        chex.assert_trees_all_equal_shapes_and_dtypes(gradients, variables)
        found: Any = jax.eval_shape(
            detector.apply,
            variables,
            batch.images,
            batch.image_sizes,
            jnp.ones((2, 2), jnp.float32),
        )
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(found)}
    assert dtypes == {jnp.dtype(x) for x in (jnp.float32, jnp.int32, jnp.bool_)}


@pytest.mark.slow
def test_no_operation_of_a_detector_makes_nan():
    loss, arguments = losses_of_detector("mask_rcnn", jnp.float32)
    with jax.debug_nans(True):
        value = jax.jit(jax.value_and_grad(lambda *x: loss(*x).total))(*arguments)[0]
    assert np.isfinite(value)


def test_numbers_of_a_missing_hole_are_nan_under_debug_nans_too():
    images = jnp.asarray(IMAGES)
    with jax.debug_nans(True):
        quality = metrics.inpainting_quality(*images, masks=jnp.zeros_like(MASKS))
    assert np.all(np.isnan(quality.hole.ssim))
    assert np.all(np.isfinite(quality.whole.ssim))
