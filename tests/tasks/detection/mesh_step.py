"""Run a step of a small Mask R-CNN on one and on eight devices; print JSON.

This is a separate program, as a process cannot change its number of devices after it
has used JAX.
"""

import contextlib
import functools
import json
import re
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from carafe_jax.models import ResNet
from carafe_jax.models.backbones import Bottleneck
from carafe_jax.models.detection import (
    FPN,
    BoxHead,
    DetectionSettings,
    MaskHead,
    MaskRCNN,
    ProposalSettings,
    RoISettings,
    RPNHead,
)
from carafe_jax.nn import CARAFEDownsample, CARAFEUpsample, DeformableConv
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionBatch,
    DetectionTraining,
    GroundTruth,
    SamplingSettings,
    detection_losses,
    loss,
)
from carafe_jax.train.mesh import batch_sharding, make_mesh, replicated
from experiments.benchmarks.networks.collectives import (
    collectives_of,
    reduces_gradients,
)

IMAGES, SIDE, SLOTS, CLASSES = 8, 64, 3, 3
# Of anchors and regions, which the step returns beside its losses.
TARGETS = "anchor_targets", "region_targets"
UPSAMPLE = functools.partial(CARAFEUpsample, compressed_channels=4)


def make_detector() -> MaskRCNN:
    """Return a Mask R-CNN with every layer of the paper's detectors."""
    backbone = ResNet(
        (1, 1, 1, 1),
        Bottleneck,
        width=4,
        downsample=functools.partial(CARAFEDownsample, compressed_channels=4),
        spatial_conv=(None, None, None, DeformableConv),
        conv_after_downsample="spatial",
        frozen_stages=1,
        last_scale_init=nn.initializers.ones,
    )
    return MaskRCNN(
        backbone=backbone,
        fpn=FPN(8, upsample=UPSAMPLE, extra_level="lateral"),
        rpn=RPNHead(8),
        box_head=BoxHead(CLASSES, 16),
        mask_head=MaskHead(CLASSES, 8, convs=1, upsample=UPSAMPLE),
        proposals=ProposalSettings(candidates=32, count=24),
        rois=RoISettings(finest_scale=14.0),  # So that all maps have regions.
        detections=DetectionSettings(count=6, candidates=40, score_threshold=0.2),
    )


SETTINGS = DetectionTraining(
    anchor_sampling=SamplingSettings(count=16, positive_fraction=0.5),
    proposals=ProposalSettings(candidates=32, count=24),
    proposal_sampling=SamplingSettings(count=12, positive_fraction=0.25),
)


def draw_batch() -> DetectionBatch:
    """Draw images of different sizes with 0 to 3 rectangular objects."""
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, SIDE / 2, (IMAGES, SLOTS, 2))
    sizes = generator.uniform(6, SIDE / 2, (IMAGES, SLOTS, 2))
    valid = np.arange(SLOTS) < np.arange(IMAGES)[:, None] % (SLOTS + 1)
    boxes = np.concatenate([corners, corners + sizes], -1) * valid[..., None]
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)[..., None]
    pixels = np.arange(SIDE)
    rows, columns = (y1 <= pixels) & (pixels < y2), (x1 <= pixels) & (pixels < x2)
    heights = SIDE - np.arange(IMAGES)
    masks = rows[..., None] & columns[..., None, :]
    batch = DetectionBatch(
        images=jnp.asarray(generator.normal(size=(IMAGES, SIDE, SIDE, 3))),
        image_sizes=jnp.stack([heights, jnp.full(IMAGES, SIDE)], -1),
        padded_sizes=jnp.full((IMAGES, 2), SIDE),
        truth=GroundTruth(
            boxes=Boxes(jnp.asarray(boxes), jnp.asarray(valid)),
            classes=jnp.asarray(generator.integers(CLASSES, size=(IMAGES, SLOTS))),
            masks=jnp.asarray(masks, jnp.uint8),
        ),
        weights=jnp.ones(IMAGES),
    )
    return jax.device_get(batch)


def step(variables: Any, batch: DetectionBatch, key: jax.Array) -> dict[str, Any]:
    """Return losses, gradients, sampled targets and detections."""
    detector, recorded = make_detector(), []

    def record(function: Any, *args: Any, **kwargs: Any) -> Any:
        recorded.append(function(*args, **kwargs))
        return recorded[-1]

    def total(params: Any) -> tuple[jax.Array, Any]:
        losses = detection_losses(
            detector, {**variables, "params": params}, batch, key, settings=SETTINGS
        )
        return losses.total, (losses, list(recorded))

    with contextlib.ExitStack() as stack:
        for name in TARGETS:
            recording = functools.partial(record, getattr(loss, name))
            stack.enter_context(mock.patch.object(loss, name, recording))
        grads, aux = jax.grad(total, has_aux=True)(variables["params"])
    found = detector.apply(variables, batch.images, batch.image_sizes)
    return {"losses": aux[0], "targets": aux[1], "grads": grads, "found": found}


def run(variables: Any, batch: DetectionBatch, mesh: Mesh) -> tuple[Any, str]:
    """Return the results of the step on a mesh, and its program."""
    whole, split = replicated(mesh), batch_sharding(mesh)
    # The random bits of the default generator do not depend on the shards.
    key = jax.random.key(1, impl="threefry2x32")
    with jax.set_mesh(mesh):
        operands = (
            jax.device_put(variables, whole),
            jax.device_put(batch, split),
            jax.device_put(key, whole),
        )
        compiled = jax.jit(step).lower(*operands).compile()
        return jax.device_get(compiled(*operands)), compiled.as_text() or ""


def computations_of(program: str) -> dict[str, str]:
    """Return the texts of a program's computations; that of the whole is "ENTRY"."""
    parts = re.split(r"^(ENTRY|%[\w.-]+) .*\{$", program, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def collectives(program: str, params: Any) -> dict[str, Any]:
    """Return the collectives that are expected, and descriptions of the others."""
    expected, others = [], []
    for name, text in computations_of(program).items():
        for one in collectives_of(text):
            if name == "ENTRY" and reduces_gradients(one, params):
                expected += one.elements
            else:
                others.append(f"{one.kind} of {one.elements} elements in {name}")
    return {"reduced": expected, "others": others}


def compare(one: Any, eight: Any) -> dict[str, Any]:
    """Return the leaves whose integers differ, and the largest errors of the floats."""
    errors: dict[str, float] = {}
    different: list[str] = []
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(eight), strict=True
    )
    for path, (a, b) in ((path, (a, b)) for (path, a), b in pairs):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not np.issubdtype(a.dtype, np.floating):
            if not np.array_equal(a, b):
                different.append(name)
            continue
        scale = np.abs(a).max(initial=0)
        error = np.abs(a - b).max(initial=0) / scale if scale else np.abs(b).max()
        part = name.split("/", 1)[0]
        errors[part] = max(errors.get(part, 0.0), float(error))
    return {"different": different, "errors": errors}


def main() -> None:
    """Print the collectives on eight devices, and the differences to one device."""
    batch = draw_batch()
    make = functools.partial(make_detector().init, jax.random.key(0))
    variables = jax.jit(make)(batch.images[:1], batch.image_sizes[:1])
    # Parameters of float64: rounding does not change which of two scores is larger.
    variables = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
    one, _ = run(variables, batch, Mesh(jax.devices()[:1], ("batch",)))
    eight, program = run(variables, batch, make_mesh())
    report = {
        "devices": jax.device_count(),
        "parameters": sum(x.size for x in jax.tree.leaves(variables["params"])),
        **collectives(program, variables["params"]),
        **compare(one, eight),
        "positives": [int(x.sum()) for x in one["targets"][1].positive],
        "detections": [int(x.sum()) for x in one["found"].detections.boxes.valid],
        "finite": all(np.isfinite(x).all() for x in jax.tree.leaves(one["grads"])),
    }
    print(json.dumps(report))  # noqa: T201


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
