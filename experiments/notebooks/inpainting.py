# %% [markdown]
# # Inpainting with CARAFE++, and its kernels
#
# This notebook trains a network on photographs with holes, and fills holes of test
# photographs. Then it shows the kernels that the CARAFE++ layers predicted, and the
# source pixels that an output pixel was reassembled from, as in figure 9 of the paper
# ([arXiv:2012.04733](https://arxiv.org/abs/2012.04733)).
#
# The photographs ship with scikit-image and matplotlib: nothing is downloaded. Replace
# `"builtin"` by the path of a folder to use your own.

# %%
import time

import jax
import numpy as np
import optax
from IPython.display import Markdown, display
from matplotlib import pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats

from carafe_jax.data import FreeFormHoles, free_form_hole, open_photographs
from carafe_jax.losses import masked_l1
from carafe_jax.metrics import inpainting_quality, lattice_energy, to_unit_range
from carafe_jax.models import UNetConfig
from carafe_jax.tasks.inpainting.classic_fills import biharmonic, spline
from carafe_jax.tasks.inpainting.data import (
    InpaintingData,
    open_held_out_examples,
    stack_examples,
    training_batches,
)
from carafe_jax.train import Adam
from carafe_jax.viz import (
    draw_kernels,
    draw_sources,
    effective_taps,
    reassembly_levels,
    reassembly_sources,
)

set_matplotlib_formats("jpeg")

# %% [markdown]
# ## Photographs with holes
#
# Batches are random crops with random strokes as holes, drawn from a seed. Images are
# in [-1, 1]; the mask is 1 in the hole.

# %%
data = InpaintingData(
    source="builtin",
    crop_size=64,
    batch_size=16,
    colours="shuffled",
    turns="all",
    test_crops=4,
)
batches = training_batches(data)
test = stack_examples(open_held_out_examples(data))


def with_holes(batch):
    """Return the images of a batch with white holes, in [0, 1]."""
    return np.where(batch["mask"] > 0, 1, to_unit_range(batch["image"]))


def show(rows, *, size=1.6, title=""):
    """Draw rows of pictures in [0, 1], each with its name, under a title."""
    columns = max(map(len, rows.values()))
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(size * columns, size * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for (name, pictures), line in zip(rows.items(), axes, strict=True):
        line[0].set_ylabel(name, fontsize=9)
        for axis, picture in zip(line, pictures, strict=False):
            axis.imshow(np.clip(picture, 0, 1))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=10)


show(
    {"training": with_holes(next(batches))[:8], "test": with_holes(test)},
    title="Crops of 64 x 64 pixels; holes are white",
)

# %% [markdown]
# ## A network
#
# `UNet` takes its resamplers as arguments; by default, all are CARAFE++. CARAFE++ and a
# convolution without stride replace the strided convolutions of the encoder, and
# CARAFE++ replaces the interpolation of the decoder (section 4.3 of the paper). It is
# the network of `experiments/inpainting/quickstart.py`.
#
# It starts from a fill: `spline_fill` continues the given pixels smoothly into the
# hole. The network receives that fill and predicts a residual; its last layer is
# initialised to zero, so that before the first step its output is the spline's.

# %%
network = UNetConfig(initial_kernels="gaussian", starting_fill="spline").make()
variables = network.init(jax.random.key(0), test["image"], test["mask"])
count = sum(leaf.size for leaf in jax.tree.leaves(variables))
print(f"{count / 1e6:.2f} million parameters")

# %% [markdown]
# ## Training
#
# The loss is the mean absolute error, weighted thirty times as much in the hole as
# outside it.
# Muon updates the kernels and Adam the other parameters, both from optax. The
# experiments of this repository add resumption, meshes and logs to the same step.

# %% nbmake={"mock": {"STEPS": 60}}
STEPS = 250

# %%
adam = Adam(learning_rate=2e-3, muon_learning_rate=1e-2, weight_decay=0.1)
optimizer = adam.transformation(STEPS)
state = optimizer.init(variables["params"])


@jax.jit
def train_step(variables, state, batch):
    """Run one step; return the new variables, the new state and the loss."""

    def loss(variables):
        predicted = network.apply(variables, batch["image"], batch["mask"]).predicted
        hole = masked_l1(predicted, batch["image"], mask=batch["mask"])
        given = masked_l1(predicted, batch["image"], mask=1 - batch["mask"])
        return 6 * hole + 0.2 * given

    value, gradient = jax.value_and_grad(loss)(variables)
    params = variables["params"]
    updates, state = optimizer.update(gradient["params"], state, params)
    return {"params": optax.apply_updates(params, updates)}, state, value


@jax.jit
def fill(variables, batch):
    """Fill the holes and keep the given pixels; return images in [0, 1]."""
    return to_unit_range(
        network.apply(variables, batch["image"], batch["mask"]).composed
    )


losses, start = [], time.monotonic()
screen = display(display_id=True)
for step in range(STEPS):
    variables, state, loss = train_step(variables, state, next(batches))
    losses.append(loss)
    if step % 50 == 49:
        figure, axes = plt.subplots(1, 5, figsize=(11, 2.2))
        axes[0].plot(losses, linewidth=0.5)
        axes[0].set(title=f"loss, step {step + 1}", xlabel="step", ylim=(0, None))
        for axis, picture in zip(axes[1:], fill(variables, test)[:4], strict=True):
            axis.imshow(picture)
            axis.axis("off")
        screen.update(figure)
        plt.close(figure)
print(f"{STEPS} steps in {time.monotonic() - start:.0f} s, with compilation")

# %% [markdown]
# ## Filled holes
#
# Crops of the two test photographs, beside two classic fills, without training: the
# biharmonic one, which is the smoothest but overshoots in large holes, and the spline
# in tension from which the network started.

# %%
fills = {
    "biharmonic": to_unit_range(biharmonic(test)),
    "spline": to_unit_range(spline(test)),
    "CARAFE++": fill(variables, test),
}
truth = to_unit_range(test["image"])
show(
    {"input": with_holes(test), **fills, "truth": truth},
    title="Test crops, filled by three methods",
)

table = "| | L1 (%) in the hole | PSNR (dB) | SSIM |\n|---|---|---|---|"
for name, filled in fills.items():
    hole = inpainting_quality(filled, truth, masks=test["mask"]).hole
    l1, psnr, ssim = (np.mean(values) for values in hole)
    table += f"\n| {name} | {l1:.2f} | {psnr:.2f} | {ssim:.3f} |"
Markdown(table)

# %% [markdown]
# The network takes images of any size. Here is a whole photograph: edit `mask` to draw
# a hole of your own, and run the cell again.

# %%
photograph = open_photographs("builtin", split="test", minimum_side=64)[0][::2, ::2]
height, width, _ = photograph.shape
mask = free_form_hole(
    np.random.default_rng(1),
    height=height,
    width=width,
    holes=FreeFormHoles(brush_width=(0.03, 0.06), rectangles=(0, 0)),
)
mask[95:115, 30:60] = 1
whole = {"image": np.float32(photograph)[None] / 127.5 - 1, "mask": mask[None]}
filled = fill(variables, whole)
pictures = [with_holes(whole)[0], filled[0], to_unit_range(whole["image"])[0]]
show({"": pictures}, size=3.6, title="Input, filled by CARAFE++, truth")

# %% [markdown]
# ## Checkerboard artefacts
#
# Up-sampling by two computes even and odd pixels with different weights, and may leave
# a pattern that repeats every 2 pixels; the layers before it leave patterns of 4 and 8
# pixels. With a bias of zero, a content encoder of CARAFE++ starts with nearly the same
# kernel for all four phases of a source pixel, so that an untrained decoder repeats
# blurred pixels in blocks. These kernels start as Gaussians around each output pixel
# instead, and the smooth fill that the network starts from has no blocks either.
# `lattice_energy` measures these patterns deep in the hole. If their energy is far
# below that of the original photograph, they are invisible.

# %%
centre = np.zeros_like(test["mask"])
centre[:, 14:50, 14:50] = 1  # A hole with room for every window.
deep = {**test, "mask": centre}
table = "| RMS of patterns (of 255) | 2 px | 4 px | 8 px |\n|---|---|---|---|"
for name, pictures in {"truth": truth, "CARAFE++": fill(variables, deep)}.items():
    energies = [lattice_energy(pictures, centre, period=p).mean() for p in (2, 4, 8)]
    cells = " | ".join(f"{255 * energy**0.5:.2f}" for energy in energies)
    table += f"\n| {name} | {cells} |"
Markdown(table)

# %% [markdown]
# ## The predicted kernels
#
# `reassembly_levels` runs the network and returns the kernels of each CARAFE++ layer.
# The effective taps measure over how many of the 25 taps a kernel spreads: with 25 it
# blurs, with 1 it copies a pixel.

# %%
levels = reassembly_levels(network, variables, **whole)
table = "| layer | from | to | effective taps, mean |\n|---|---|---|---|"
for name, level in levels.items():
    taps = float(effective_taps(level.kernels).mean())
    table += f"\n| {name} | {level.size} | {level.kernels.shape[1:3]} | {taps:.1f} |"
display(Markdown(table))

figure, axes = plt.subplots(2, 3, figsize=(11, 5))
for axis, (name, level) in zip(axes.flat, levels.items(), strict=True):
    taps = axis.imshow(effective_taps(level.kernels[0, :, :, 0]), vmin=1, vmax=25)
    axis.set_title(name, fontsize=9)
    axis.axis("off")
figure.colorbar(taps, ax=axes, label="effective taps of 25", shrink=0.8)

# %% [markdown]
# Kernels start as Gaussians: those of the up-samplings over a few taps, those of
# the down-samplings over most of the window. Differences between pixels are learned.
# Here are kernels of the first and the last layer as pictures, each a tile at its
# pixel, at the right eye:

# %%
first, *_, last = levels
figure, axes = plt.subplots(1, 2, figsize=(9, 4.5))
for axis, name, corner in ((axes[0], first, (40, 76)), (axes[1], last, (84, 156))):
    y, x = corner
    draw_kernels(axis, levels[name].kernels[0, y : y + 8, x : x + 8, 0])
    axis.set_title(f"kernels of {name}, 8 x 8 pixels from ({y}, {x})", fontsize=9)

# %% [markdown]
# ## The source pixels of an output pixel
#
# `reassembly_sources` traces output pixels back through any number of layers: along
# each path the weights of the kernels are multiplied, and all paths to a source pixel
# are added. Below, red dots mark the source pixels of the largest weights, which sum to
# half of the total; the size of a dot shows its weight. The green ring is the output
# pixel.
#
# The first row traces back through the last up-sampling alone, to a map of half the
# size; the second through two, the third through all three of the decoder, as in figure
# 9. The last row continues through the encoder, to the pixels of the photograph, with
# the weight as colour. Convolutions and skip connections between the layers are
# ignored, as in the paper.

# %%
pixels = [(105, 45), (62, 80), (50, 180), (98, 128)]
size = (height, width)
down = [level for name, level in levels.items() if name.startswith("down")]
up = [level for name, level in levels.items() if name.startswith("up")]

figure, axes = plt.subplots(4, len(pixels), figsize=(9, 9))
paths = {
    "one up-sampling": up[2:],
    "two up-samplings": up[1:],
    "three up-samplings": up,
    "whole network": [*down, *up],
}
for line, (title, path) in zip(axes, paths.items(), strict=True):
    line[0].set_ylabel(title, fontsize=9)
    sources = reassembly_sources(path, pixels)[0]
    for axis, pixel, weights in zip(line, pixels, sources, strict=True):
        if len(path) <= len(up):
            draw_sources(axis, filled[0], weights, pixel=pixel, size=size, share=0.5)
        else:
            axis.imshow(filled[0] * 0.6)
            axis.imshow(weights, cmap="hot", alpha=(weights / weights.max()) ** 0.5)
        y, x = pixel
        axis.set(xlim=(x - 44, x + 44), ylim=(y + 44, y - 44), xticks=[], yticks=[])
for axis, (y, x) in zip(axes[0], pixels, strict=True):
    axis.set_title(f"output pixel ({y}, {x})", fontsize=9)
figure.tight_layout(pad=0.3)

# %% [markdown]
# ## Further reading
#
# - `python -m experiments.inpainting.quickstart` trains the same network with
#   checkpoints, TensorBoard and a table; `carafe-jax fill` fills holes in your
#   photographs with it, or without it by `--method spline`.
# - [Inpainting](../../docs/inpainting.md): Global&Local, partial convolutions and the
#   adversarial training of the paper.
# - [tour.ipynb](tour.ipynb): the operator and the layer by themselves.
