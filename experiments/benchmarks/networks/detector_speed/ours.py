"""The programs of our detectors."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from carafe_jax.models import ResNet50
from carafe_jax.models.detection import FPN, BoxHead, MaskHead, MaskRCNN, RPNHead
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionBatch,
    DetectionTraining,
    GroundTruth,
    detection_losses,
)
from experiments.benchmarks.networks.detector_speed.config import (
    CLASSES,
    LOGIT_SCALE,
)
from experiments.benchmarks.networks.detector_speed.inputs import Inputs
from experiments.benchmarks.networks.timed_programs import Calls


def programs_of(inputs: Inputs, *, fpn: dict[str, Any], mask: dict[str, Any]) -> Calls:
    """Return the programs of our Mask R-CNN, with the parts of a variant."""
    detector = MaskRCNN(
        backbone=ResNet50(frozen_stages=1),
        fpn=FPN(**fpn),
        rpn=RPNHead(),
        box_head=BoxHead(CLASSES),
        mask_head=MaskHead(CLASSES, **mask),
    )
    images = jnp.asarray(inputs.images)
    n, height, width, _ = images.shape
    sizes = jnp.full((n, 2), jnp.array([height, width]))
    init = jax.jit(functools.partial(detector.init, jax.random.key(0)))
    variables = _spread(dict(init(images, sizes)))
    batch = DetectionBatch(
        images=images,
        image_sizes=sizes,
        padded_sizes=sizes,
        truth=GroundTruth(
            boxes=Boxes(
                jnp.asarray(inputs.boxes), jnp.ones(inputs.labels.shape, jnp.bool)
            ),
            classes=jnp.asarray(inputs.labels),
            masks=jnp.asarray(inputs.masks),
        ),
        weights=jnp.ones(n),
    )

    def backbone(params: Any, images: jax.Array) -> Any:
        parts = {x: tree["backbone"] for x, tree in variables.items()}
        return detector.backbone.apply({**parts, "params": params}, images)

    def energy(params: Any, images: jax.Array) -> jax.Array:
        return optax.tree.norm(backbone(params, images), squared=True)

    def loss(params: Any, batch: DetectionBatch) -> jax.Array:
        return detection_losses(
            detector,
            {**variables, "params": params},
            batch,
            jax.random.key(1),
            settings=DetectionTraining(),
        ).total

    infer, train = jax.jit(detector.apply), jax.jit(jax.value_and_grad(loss))
    alone, gradients = jax.jit(backbone), jax.jit(jax.value_and_grad(energy))
    params = variables["params"]
    return {
        "backbone": lambda: jax.block_until_ready(alone(params["backbone"], images)),
        "backbone_gradients": lambda: jax.block_until_ready(
            gradients(params["backbone"], images)
        ),
        "inference": lambda: jax.block_until_ready(infer(variables, images, sizes)),
        "training": lambda: jax.block_until_ready(train(params, batch)),
    }


def _spread(variables: dict[str, Any]) -> dict[str, Any]:
    """Scale the box head's logits, so that random weights detect something."""
    params = dict(variables["params"])
    head = params["box_head"]
    logits = head["logits"]
    kernel = logits["kernel"] * LOGIT_SCALE
    params["box_head"] = {**head, "logits": {**logits, "kernel": kernel}}
    return {**variables, "params": params}
