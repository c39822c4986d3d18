# %% [markdown]
# # CARAFE++ in five minutes
#
# Pooling, strided convolution and interpolation weight the pixels of a window by the
# same rule everywhere. CARAFE++
# ([arXiv:2012.04733](https://arxiv.org/abs/2012.04733)) weights them by the content
# of the window. It has two parts:
#
# 1. an **operator**, `carafe_jax.reassemble`: each output pixel is the weighted sum of
#    a k x k window of the input, with a kernel of its own;
# 2. a **layer**, `carafe_jax.CARAFE`: two convolutions that predict those kernels from
#    the features, then the operator.
#
# Below, both resample a photograph by 2, 1/2 and 3/2, beside the usual resamplers.
# The notebook takes about a minute on two CPU cores. Nothing is downloaded.

# %%
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import skimage.data
from flax import linen as nn
from IPython.display import Markdown
from matplotlib import pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats

from carafe_jax import CARAFE, reassemble
from carafe_jax.nn import (
    AveragePoolDownsample,
    BilinearUpsample,
    MaxPoolDownsample,
    NearestUpsample,
)
from carafe_jax.viz import draw_kernels, effective_taps, reassembly_levels

set_matplotlib_formats("jpeg")


def load(name):
    """Load a photograph that ships with scikit-image: (1, h, w, 3) in [0, 1]."""
    return jnp.float32(getattr(skimage.data, name)())[None] / 255


def show(pictures, *, size=2.4):
    """Draw pictures side by side, with their titles."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(size * len(pictures), size))
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(np.clip(picture, 0, 1), interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()


photograph = load("chelsea")[:, :288, 60:348]
eye = photograph[:, 84:132, 48:96]
photograph.shape

# %% [markdown]
# ## The operator
#
# `reassemble(features, kernels, scale=...)` takes the features, (N, H, W, C), and a
# kernel for each output pixel, (N, H', W', G, k*k). The usual resamplers are the same
# operator with fixed kernels. At scale u/d, these repeat every u output pixels, so that
# u x u kernels define a resampler:


# %%
def reassemble_fixed(features, kernels, scale):
    """Reassemble with the same u x u kernels everywhere in the map."""
    kernels, scale = jnp.float32(kernels), Fraction(scale)
    (u, _, taps), (n, height, width, _) = kernels.shape, features.shape
    rows, columns = -(-height // scale.denominator), -(-width // scale.denominator)
    kernels = jnp.tile(kernels, (rows, columns, 1))
    shape = (n, rows * u, columns * u, 1, taps)
    return reassemble(
        features, jnp.broadcast_to(kernels[:, :, None], shape), scale=scale
    )


middle = [0, 0, 0, 0, 1, 0, 0, 0, 0]  # 3 x 3 taps, row by row
nearest = np.full((2, 2, 9), middle)
stride = np.full((1, 1, 9), middle)
average = np.full((1, 1, 9), 1 / 9)
near, far = np.array([1, 3, 0]) / 4, np.array([0, 3, 1]) / 4
bilinear = [
    [np.outer(rows, columns).ravel() for columns in (near, far)] for rows in (near, far)
]

show(
    {
        "the photograph": eye[0],
        "x2, nearest kernels": reassemble_fixed(eye, nearest, 2)[0],
        "x2, bilinear kernels": reassemble_fixed(eye, bilinear, 2)[0],
        "x1/2, one tap: strided": reassemble_fixed(eye, stride, "1/2")[0],
        "x1/2, nine taps: pooled": reassemble_fixed(eye, average, "1/2")[0],
    }
)

# %% [markdown]
# Away from the border, where pixels outside the map count as zero, they equal the
# layers of these names:

# %%
inside = np.s_[:, 2:-2, 2:-2]
for ours, layer in (
    (reassemble_fixed(eye, nearest, 2), NearestUpsample(scale=2)),
    (reassemble_fixed(eye, bilinear, 2), BilinearUpsample(scale=2)),
):
    np.testing.assert_allclose(ours[inside], layer.apply({}, eye)[inside], atol=1e-6)

# %% [markdown]
# ## The layer
#
# The layer predicts a kernel for each output pixel, from the features. It takes maps of
# any size and any rational scale:

# %%
features = jnp.ones((1, 37, 50, 64))
for scale in (2, "3/2", "2/3", "1/2"):
    output, _ = CARAFE(scale=scale).init_with_output(jax.random.key(0), features)
    print(f"{features.shape} at scale {scale}: {output.shape}")

# %% [markdown]
# ## The benefit of content-aware kernels
#
# A task in which the content matters: **denoising** and resampling at once. Averaging
# reduces noise but blurs edges, so that a kernel should be wide in flat regions, and
# stay on one side of an edge.
#
# Two small networks learn the task from two other photographs. In the first, two
# convolutions extract features, from which CARAFE++ predicts its kernels. The second
# learns fixed kernels of the same size: the best fixed resampler of this kind.


# %%
class ContentAware(nn.Module):
    """CARAFE++ on a picture and the features of two convolutions."""

    scale: int | str

    @nn.compact
    def __call__(self, picture):
        hidden = picture - picture.mean((1, 2), keepdims=True)
        for _ in range(2):
            hidden = nn.relu(nn.Conv(16, (3, 3))(hidden))
        features = jnp.concatenate([picture, hidden], axis=-1)
        layer = CARAFE(scale=self.scale, compressed_channels=None, name="carafe")
        return layer(features)[..., :3]


class Fixed(nn.Module):
    """Learned kernels of the same size, the same everywhere in the picture."""

    scale: int | str

    @nn.compact
    def __call__(self, picture):
        u = Fraction(self.scale).numerator
        logits = self.param("logits", nn.initializers.zeros, (u, u, 5 * 5))
        return reassemble_fixed(picture, nn.softmax(logits), self.scale)


def pair(clean, key, scale):
    """Return a noisy input and its target, made from a clean photograph."""
    n, height, width, c = clean.shape
    smaller = min(Fraction(scale), 1 / Fraction(scale))
    size = (n, int(height * smaller), int(width * smaller), c)
    small = jax.image.resize(clean, size, "linear")  # antialiased
    source, target = (small, clean) if Fraction(scale) > 1 else (clean, small)
    return source + 0.1 * jax.random.normal(key, source.shape), target


def error(output, target):
    """Return the mean squared error without the border, where windows hold zeros."""
    return jnp.mean((output - target)[:, 4:-4, 4:-4] ** 2)


def train(network, *, steps=250):
    """Fit a network to crops of two photographs; return its variables."""
    photographs = [np.asarray(load(name)[0]) for name in ("astronaut", "coffee")]
    rng, optimizer = np.random.default_rng(0), optax.adam(1e-2)

    def crop():
        photo = photographs[rng.integers(2)]
        y, x = rng.integers(np.array(photo.shape[:2]) - 96)
        return photo[y : y + 96, x : x + 96]

    @jax.jit
    def step(variables, state, clean, key):
        source, target = pair(clean, key, network.scale)

        def loss(variables):
            return error(network.apply(variables, source), target)

        updates, state = optimizer.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, updates), state

    source, _ = pair(crop()[None], jax.random.key(0), network.scale)
    variables = network.init(jax.random.key(0), source)
    state = optimizer.init(variables)
    for key in jax.random.split(jax.random.key(1), steps):
        clean = np.stack([crop() for _ in range(4)])
        variables, state = step(variables, state, clean, key)
    return variables


networks = {scale: (ContentAware(scale), Fixed(scale)) for scale in (2, "3/2", "1/2")}
trained = {scale: tuple(map(train, both)) for scale, both in networks.items()}

# %% [markdown]
# The photograph of the cat, which neither network was trained on:

# %%
upsamplers = {"nearest": NearestUpsample, "bilinear": BilinearUpsample}
downsamplers = {
    "max pooling": partial(MaxPoolDownsample, kernel_size=2),
    "average pooling": partial(AveragePoolDownsample, kernel_size=2),
}


def around_eye(picture):
    """Cut the same part out of a picture of any size."""
    _, height, width, _ = picture.shape
    return picture[0, int(0.25 * height) : height // 2, width // 5 : int(0.45 * width)]


table = "| scale | | PSNR (dB) |\n|---|---|---|"
for scale in networks:
    source, target = pair(photograph, jax.random.key(7), scale)
    usual = upsamplers if Fraction(scale) > 1 else downsamplers
    outputs = {
        name: make(scale=scale).apply({}, source) for name, make in usual.items()
    }
    aware, fixed = networks[scale]
    aware_variables, fixed_variables = trained[scale]
    outputs["learned, fixed"] = fixed.apply(fixed_variables, source)
    outputs["CARAFE++"] = aware.apply(aware_variables, source)
    for name, output in outputs.items():
        table += (
            f"\n| {scale} | {name} | {-10 * jnp.log10(error(output, target)):.1f} |"
        )
    pictures = {"input": source, **outputs, "target": target}
    show({f"{name}, x{scale}": around_eye(x) for name, x in pictures.items()})
Markdown(table)

# %% [markdown]
# ## The predicted kernels
#
# `carafe_jax.viz.reassembly_levels` runs a network and returns the kernels of each of
# its CARAFE++ layers. The effective taps measure over how many of the 25 taps a kernel
# spreads: nearly all in flat fur, fewer along edges, so that their map shows the
# outlines of the cat. On the right are the kernels themselves, each a tile at its
# pixel: around the rim of the eye they stay on one side of it.

# %%
source, _ = pair(photograph, jax.random.key(7), "1/2")
levels = reassembly_levels(networks["1/2"][0], trained["1/2"][0], source)
kernels = levels["carafe"].kernels[0, :, :, 0]

figure, axes = plt.subplots(1, 3, figsize=(14, 4.6))
axes[0].imshow(np.clip(source[0], 0, 1))
axes[0].set_title("input")
taps = axes[1].imshow(effective_taps(kernels), cmap="viridis")
axes[1].set_title("effective taps")
figure.colorbar(taps, ax=axes[1], fraction=0.046)
draw_kernels(axes[2], kernels[48:60, 30:42])
axes[2].set_title("kernels around the left eye")
for axis in axes[:2]:
    axis.axis("off")

# %% [markdown]
# ## Further reading
#
# - In a network of your own, put `CARAFEUpsample()` where it interpolates and
#   `CARAFEDownsample()` where it pools; both are called with the features alone.
# - [inpainting.ipynb](inpainting.ipynb) trains a network whose resamplers are all
#   CARAFE++, and traces its output pixels back through the layers.
# - [The mathematics](../../docs/mathematics.md): the formula for every scale, and its
#   gradients. [The kernels](../../docs/kernels.md): what runs on a GPU or a TPU.
