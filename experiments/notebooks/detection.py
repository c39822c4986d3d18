# %% [markdown]
# # Mask R-CNN with CARAFE++, from data to kernels
#
# This notebook composes a data set in COCO's form, trains a small Mask R-CNN on it from
# scratch, measures its average precision (AP) on scenes that it has not seen, and looks
# inside: at the feature pyramid, at the pixels from which CARAFE++ reassembles it, and
# at the masks. CARAFE++ up-samples in the feature pyramid and in the mask head, as in
# the paper ([arXiv:2012.04733](https://arxiv.org/abs/2012.04733)).
#
# It takes about four minutes on two CPU cores, a good part of it to compile the
# training step. Nothing is downloaded: the scenes are cut out of photographs that ship
# with scikit-image.

# %%
import os
import pathlib
import sys
import tempfile

# Programs compile sooner, and these run about as fast. Read when JAX starts.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pycocotools.mask
from IPython.display import Markdown, ProgressBar
from matplotlib import pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats
from rich.console import Console

from carafe_jax.models.detection import (
    AnchorSettings,
    DetectionSettings,
    DetectorConfig,
    ProposalSettings,
    RoISettings,
)
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionData,
    DetectionTask,
    DetectionTraining,
    SamplingSettings,
)
from carafe_jax.tasks.detection.device_batch import normalised_images
from carafe_jax.tasks.detection.photographs import read_photograph
from carafe_jax.tasks.detection.samples import draw_samples
from carafe_jax.tasks.detection.tiles import draw_tile, true_objects
from carafe_jax.train import Adam
from carafe_jax.viz import (
    Level,
    draw_kernels,
    draw_sources,
    effective_taps,
    reassembly_levels,
    reassembly_sources,
)

# `experiments` is not installed: it is imported from the repository.
sys.path.append(str(pathlib.Path("../..").resolve()))
from experiments.detection.comparison.pyramids import draw_pyramids
from experiments.detection.scenes.__main__ import Scenes
from experiments.detection.scenes.__main__ import main as compose_scenes

set_matplotlib_formats("jpeg")

# %% [markdown]
# ## Scenes
#
# Coins, cups, horses and rockets are cut out, turned, scaled and placed on textures.
# The folder has the form of COCO: pictures in `train/` and `val/`, and the boxes and
# masks of their objects in `annotations/`. Any other folder of that form will do.

# %%
folder = tempfile.TemporaryDirectory()
scenes = Scenes(
    output=pathlib.Path(folder.name), train=240, val=32, width=128, height=128
)
compose_scenes(scenes, Console(quiet=True))
sorted(str(path.relative_to(folder.name)) for path in scenes.output.glob("*/*"))[:4]

# %% [markdown]
# `DetectionData` says how pictures are read and augmented. `DetectionTask` opens the
# folder and makes the network: a ResNet-18 a quarter as wide as usual, and heads for
# few, small objects. The defaults of all fields are those of mmdetection.

# %%
data = DetectionData(
    source=folder.name,
    batch_size=4,
    short_side=128,
    long_side=128,
    crop_size=128,
    flips="horizontal",
    max_objects=8,
)
config = DetectorConfig(
    depth=18,
    width=16,
    norms="batch",
    frozen_stages=-1,
    fpn_features=32,
    box_hidden=128,
    mask_convs=2,
    compressed_channels=(16, 16),
    anchors=AnchorSettings(scale=4.0),
    proposals=ProposalSettings(candidates=100, count=100),
    rois=RoISettings(finest_scale=28.0),
    detections=DetectionSettings(count=20, candidates=200),
)
training = DetectionTraining(
    anchor_sampling=SamplingSettings(count=64, positive_fraction=0.5),
    proposals=ProposalSettings(candidates=100, count=100),
    proposal_sampling=SamplingSettings(count=32, positive_fraction=0.25),
)
task = DetectionTask(config, data, training=training)
task.dataset.contents

# %%
photographs = task.dataset.training
figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
for index, axis in enumerate(axes.flat):
    tile = draw_tile(
        read_photograph(photographs, index),
        true_objects(photographs, index),
        classes=photographs.classes,
        side=384,
    )
    axis.imshow(tile)
    axis.axis("off")

# %% [markdown]
# ## Training
#
# The loss is the sum of five: objectness and boxes of the proposals (RPN), classes and
# boxes of the objects, and masks. AdamW updates the parameters, with a rate that decays
# linearly to zero. `carafe-jax train detection` runs the same step with checkpoints,
# logs and evaluations.

# %% nbmake={"mock": {"STEPS": 20}}
STEPS = 400

# %%
adam = Adam(learning_rate=1.5e-3, weight_decay=0.05, decay="polynomial")
optimizer = adam.transformation(STEPS)
variables = jax.jit(task.init)(jax.random.key(0))
state = optimizer.init(variables["params"])
count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
print(f"{count / 1e6:.2f} million parameters")


@jax.jit
def train_step(variables, state, batch, key):
    """Run one step; return the new variables, the new state and the losses."""

    def loss(params):
        return task.loss({**variables, "params": params}, batch, key)

    params = variables["params"]
    gradient, aux = jax.grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    return {"params": params, **aux.collections}, state, aux.scalars


batches, key, history = task.batches(), jax.random.key(1), []
for step in ProgressBar(STEPS):
    variables, state, losses = train_step(
        variables, state, next(batches), jax.random.fold_in(key, step)
    )
    history.append(losses)

# %%
history = jax.device_get(history)
figure, axes = plt.subplots(1, 6, figsize=(14, 2.2), layout="constrained")
for axis, name in zip(axes, history[0], strict=True):
    axis.plot([scalars[name] for scalars in history], linewidth=0.6)
    axis.set(title=name, xlabel="step", ylim=(0, None))

# %% [markdown]
# ## Average precision
#
# The scenes of `val/` have the same objects, in other places and sizes, at other turns
# and on other crops of the backgrounds. AP is the mean over IoU thresholds from 0.5 to
# 0.95, as COCO defines it.

# %%
(evaluator,) = task.evaluators()
found = evaluator.detect(variables, task.dataset.test_batches())
quality = evaluator.measure_results(found)

table = "| class | objects | box AP | box AP50 | mask AP | mask AP50 |"
table += "\n|---|---|---|---|---|---|"
columns = ("box_ap", "box_ap50", "mask_ap", "mask_ap50")
rows = [(row.name, row.objects, row.numbers) for row in quality.per_class]
rows.append(("all", sum(count for _, count, _ in rows), quality.numbers))
for name, count, numbers in rows:
    cells = " | ".join(f"{numbers[column]:.3f}" for column in columns)
    table += f"\n| {name} | {count} | {cells} |"
Markdown(table)

# %% [markdown]
# Rockets are the hardest: they are thin, and the anchors have aspect ratios of 0.5 to 2
# alone. Here are detections in six of these scenes, and the truth beside each:

# %%
held_out = task.dataset.held_out
figure, axes = plt.subplots(1, 2, figsize=(11, 8.3), layout="constrained")
for axis, shown in zip(axes, (range(3), range(3, 6)), strict=True):
    results = {index: found[index] for index in shown}
    axis.imshow(draw_samples(held_out, results, score_threshold=0.5, side=320))
    axis.axis("off")

# %% [markdown]
# ## The feature pyramid
#
# For each class, here is the test scene with its largest object. `look_inside` runs the
# steps of the detector by themselves: `extract` makes the pyramid, and `segment`
# predicts masks for given boxes, here the true ones. `reassembly_levels` collects the
# kernels that the CARAFE++ layers predict on the way.

# %%
chosen, boxes, masks = [], [], []
for label in range(4):
    candidates = [
        (objects.areas[number], index, objects.boxes[number], objects.masks[number])
        for index in sorted({*range(len(held_out))} - {*chosen})
        for objects in [held_out.objects(index)]
        for number in np.flatnonzero(objects.classes == label)
    ]
    _, index, box, mask = max(candidates, key=lambda candidate: candidate[0])
    chosen.append(index)
    boxes.append(box)
    masks.append(pycocotools.mask.decode(mask))
pictures = [read_photograph(held_out, index) for index in chosen]


@jax.jit
def look_inside(variables, images, boxes):
    """Return the pyramid, the kernels by layer, and the masks of given boxes."""
    detector = task.network
    pyramid = detector.apply(variables, images, method="extract")
    logits = detector.apply(variables, pyramid, boxes, method="segment")
    levels = {
        **reassembly_levels(detector, variables, images, method="extract"),
        **reassembly_levels(detector, variables, pyramid, boxes, method="segment"),
    }
    kernels = {name: level.kernels for name, level in levels.items()}
    return pyramid, kernels, jax.nn.sigmoid(logits)


images = normalised_images(np.stack(pictures), jnp.full((4, 2), 128), dtype="float32")
slots = Boxes(jnp.float32(np.stack(boxes))[:, None], jnp.ones((4, 1), bool))
pyramid, kernels, probabilities = look_inside(variables, images, slots)
{name: each.shape for name, each in kernels.items()}

# %% [markdown]
# The magnitude of the features in P2 to P5, at 1/4 to 1/32 of the size of the picture,
# for two of the scenes. Each level is what CARAFE++ makes of the coarser one, plus the
# features of the backbone at its own size.

# %%
shown = (1, 2)
maps = [
    tuple(np.sqrt((level[index] ** 2).mean(-1)) for level in pyramid[:4])
    for index in shown
]
maps = [tuple(each / each.mean() for each in levels) for levels in maps]
draw_pyramids({"": [pictures[index] for index in shown]}, {"": maps})

# %% [markdown]
# ## The source pixels of a pixel of P2
#
# `reassembly_sources` traces pixels of P2 back through the up-samplings of the FPN, as
# in figure 9 of the paper. The green ring is the pixel, near the left border of an
# object; red dots mark the pixels of P3 and of P4 whose weights sum to half of the
# total, larger dots for larger weights, on darkened pictures. The laterals and
# convolutions between the layers are ignored, as in the paper.

# %%
top_down = [Level(kernels[f"fpn/upsample_{level}"]) for level in (3, 2)]
pixels = []
for mask in masks:
    rows = np.flatnonzero(mask.any(1))
    row = rows[len(rows) // 2]
    column = np.flatnonzero(mask[row])[0] + 4
    pixels.append((int(row) // 4, int(column) // 4))

figure, axes = plt.subplots(2, 4, figsize=(10, 5.1), layout="constrained")
for line, name, path in zip(axes, ("P3", "P4"), (top_down[1:], top_down), strict=True):
    line[0].set_ylabel(f"sources in {name}")
    sources = reassembly_sources(path, pixels)
    for index, axis in enumerate(line):
        draw_sources(
            axis,
            pictures[index] / 510,
            sources[index, index],
            pixel=pixels[index],
            size=(32, 32),
            share=0.5,
        )

# %% [markdown]
# The kernels of the last up-sampling, from P3 to P2, in the scene of the cup. In the
# middle, the effective number of taps of each: with 25 it blurs, with 1 it copies a
# pixel. Neighbours differ, because each pixel of P3 predicts four kernels, one for each
# of its pixels of P2. On the right, the kernels around the pixel above, each a tile at
# its place.

# %%
last = kernels["fpn/upsample_2"][1, :, :, 0]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
axes[0].imshow(pictures[1])
taps = axes[1].imshow(effective_taps(last))
axes[1].set_title("effective taps of 25", fontsize=10)
figure.colorbar(taps, ax=axes[1], shrink=0.8)
y, x = np.clip(pixels[1], 4, 28)
draw_kernels(axes[2], last[y - 4 : y + 4, x - 4 : x + 4])
axes[2].set_title("kernels around the border of the cup", fontsize=10)
for axis in axes[:2]:
    axis.set(xticks=[], yticks=[])

# %% [markdown]
# ## The mask head
#
# The mask head takes the features of a box, pooled to 14 x 14 bins. After two
# convolutions CARAFE++ doubles the map, and a 1x1 convolution predicts a mask for each
# class. Below are the true boxes, the masks of their classes, and the effective taps of
# the kernels of that CARAFE++.

# %%
spread = effective_taps(kernels["mask_head/upsample"][..., 0, :])
figure, axes = plt.subplots(3, 4, figsize=(9, 6.6), layout="constrained")
for label, (column, box) in enumerate(zip(axes.T, boxes, strict=True)):
    x1, y1, x2, y2 = box
    column[0].imshow(pictures[label])
    column[0].set(
        xlim=(x1 - 0.5, x2 - 0.5),
        ylim=(y2 - 0.5, y1 - 0.5),
        title=held_out.classes[label],
    )
    probability = column[1].imshow(
        probabilities[label, 0, :, :, label], cmap="gray", vmin=0, vmax=1
    )
    taps = column[2].imshow(spread[label], vmin=spread.min(), vmax=spread.max())
    for axis in column:
        axis.set(xticks=[], yticks=[], aspect="auto")
for line, image, name in (
    (axes[1], probability, "probability"),
    (axes[2], taps, "effective taps of 25"),
):
    figure.colorbar(image, ax=line, label=name)

# %% [markdown]
# ## Further reading
#
# - [Detection](../../docs/detection.md): your own folder, the recipe of mmdetection,
#   trained weights to start from, and `carafe-jax detect` on photographs.
# - `python -m experiments.detection.small_mask_rcnn` trains a larger network on larger
#   scenes; `python -m experiments.detection.compare_upsamplers` compares CARAFE++ with
#   plain up-samplers.
# - [inpainting.ipynb](inpainting.ipynb): a network whose resamplers are all CARAFE++.
