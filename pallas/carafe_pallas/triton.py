"""Reassembly and its two gradients on GPUs of sm_80 and later (Pallas, Triton).

Each launch is a product of matrices with a band in it. A tile of `rows x columns`
anchors has R rows of its own (output pixels; source pixels in the gradient of the
features), and the windows between outputs and sources make a band: entry (output,
source) is the weight of the tap at which the output reads the source, else zero. Taps
follow from the coordinates alone, so that any scale takes the same path.

    reassemble      band (R outputs x sources) @ features (sources x channels)
    grad_features   band (R sources x outputs) @ cotangent (outputs x channels)
    grad_kernels    band of: cotangent (R outputs x channels) @ features^T

grid = (column tiles * groups * programs, row tiles, batch): the programs of a tile
share its blocks of channels. No atomics: runs repeat bit for bit. Where a product holds
the whole band (`depth`), `reassemble` lays it once for all its blocks of channels, and
normalises its rows: it multiplies with powers, and divides the sums by their total,
which is one more product. Otherwise, and for the gradient of the features, in which
many tiles would repeat it, plain JAX does before. `grad_kernels` always pulls the
gradient back along the rows of its band.

Memory of a block of `reassemble` at x2, k = 5, C = 256, bfloat16 with the default
configuration (R = 64): in shared memory the band, 64 x 64 (8 KiB), and the pixels,
64 x 128, of two blocks of channels (32 KiB); in registers the float32 sums, 64 x 128
(32 for each of 256 threads).

Weights that are normalised already come by output pixel, others by anchor.

Float32 has no tensor cores here (TensorFloat-32 would round): products of zeros cost
time there, about half of it at x2. Entries outside the band are multiplied all the
same: a NaN or an infinity in a pixel spreads over the results of the tiles that load
it. Pixels outside the map and weights of phases that do not exist are never loaded.
"""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array, DTypeLike, Float

from carafe_pallas import normalizers
from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Axis, Geometry

KERNELS_BY_PIXEL = True

_DTYPES = ("float32", "bfloat16", "float16")
_SMALLEST = 16  # Along each side of a product: that of the tensor cores.
_LARGEST = 128  # Pixels of a product that is to hold a whole band: shared memory.
_PROGRAMS = 512  # Enough to fill a GPU.


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Anchors and channels of a block, pixels of a product, warps, stages.

    num_stages: with one, `reassemble` itself asks for each block of channels while the
    one before is multiplied; with more, Triton does for the blocks after the first.
    programs: that share the blocks of channels of a tile; those of the gradient of the
    weights are one, which sums over all channels.
    """

    rows: int
    columns: int
    channels: int
    depth: int
    num_warps: int = 4
    num_stages: int = 2
    programs: int = 1


def refusal(call: Call) -> str | None:
    """Return why these kernels cannot run the call; None where they can."""
    for name in ("features_dtype", "kernels_dtype"):
        if (dtype := getattr(call, name)) not in _DTYPES:
            return f"`{name}` must be one of {', '.join(_DTYPES)}, got {dtype}"
    # Arrays of any size are indexed rightly: offsets of more than 32 bits are made of
    # coordinates, each of which must fit.
    rows, columns = call.geometry.rows, call.geometry.columns
    if (longest := max(rows.size, columns.size)) >= (limit := 2**26):
        return f"`H` and `W` must be below {limit}, got {longest}"
    return None


def heuristic(call: Call, launch: Launch) -> TuningConfig:
    """Choose blocks much like those that were fastest on an H200 at x2 and 1/2."""
    up, down = call.geometry.rows.up, call.geometry.rows.down
    float32 = jnp.float32 in (call.features_dtype, call.kernels_dtype)
    side = 4 if max(up, down) <= 2 else 2
    if launch == "grad_features":
        side = max(1, 4 // down)  # 16 source pixels.
    channels, num_warps = _widths(call, launch, float32=float32)
    # Without tensor cores what is zero costs time: 25 of 48 entries of the band are
    # used with 2 x 4 anchors at x2, 25 of 64 with 4 x 4.
    flat = float32 and up == 2 and launch != "grad_features"
    all_channels = _power_of_two(call.channels // call.geometry.groups)
    config = TuningConfig(
        rows=side // 2 if flat else side,
        columns=side,
        channels=min(channels, max(_SMALLEST, all_channels)),
        depth=16 if float32 else 64,
        num_warps=num_warps,
        num_stages=1 if launch == "reassemble" and (float32 or up > down) else 2,
    )
    plan = _plan(call, launch, config)
    sources = _padded(plan.sources)
    if launch == "reassemble" and not float32 and sources <= _LARGEST:
        config = dataclasses.replace(config, depth=sources)
    return dataclasses.replace(config, programs=_programs(plan, call.batch))


def _widths(call: Call, launch: Launch, *, float32: bool) -> tuple[int, int]:
    """Choose the channels of a block, and its warps."""
    up, down = call.geometry.rows.up, call.geometry.rows.down
    upsamples = up > down
    match launch:
        case "reassemble" if float32:
            return 256, 4
        case "reassemble" if upsamples:
            return 128, 8 if call.normalizer is None else 4
        case "reassemble":
            return 64, 4
        case "grad_features":
            return (256, 4) if float32 or not upsamples else (256, 8)
        case "grad_kernels" if float32:
            # At x3, x4 and 3/2 a product has twice the entries.
            return 16, 8 if up > 2 else 4
        case "grad_kernels":
            return 64 if upsamples else 128, 8


def _programs(plan: "_Plan", batch: int) -> int:
    """Split channels where there are few tiles, into equal parts if they divide."""
    columns, rows = plan.grid
    tiles = columns * rows * batch
    steps = max(1, plan.blocks * tiles // _PROGRAMS)
    return max(1, -(-plan.blocks // steps))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


@dataclasses.dataclass(frozen=True)
class _Run:
    """Pixels of a tile along an axis; the first is `anchor * stride + shift`."""

    stride: int
    shift: int
    count: int
    size: int


def _own_outputs(axis: Axis, anchors: int) -> _Run:
    return _Run(axis.up, 0, anchors * axis.up, axis.output_size)


def _read_sources(axis: Axis, anchors: int) -> _Run:
    return _Run(axis.down, -axis.radius, axis.span(anchors), axis.size)


def _own_sources(axis: Axis, anchors: int) -> _Run:
    return _Run(axis.down, 0, anchors * axis.down, axis.size)


def _reading_outputs(axis: Axis, anchors: int) -> _Run:
    # Output o reads around o * down // up: those that reach from radius before the
    # first source to radius after the last.
    reach = (anchors * axis.down + 2 * axis.radius) * axis.up
    before = axis.radius * axis.up // axis.down
    return _Run(axis.up, -before, -(-reach // axis.down), axis.output_size)


@dataclasses.dataclass(frozen=True)
class _Pixels:
    """Coordinates of pixels as an array, and which of them exist."""

    y: Array
    x: Array
    exist: Array

    def column(self) -> "_Pixels":
        return _Pixels(self.y[:, None], self.x[:, None], self.exist[:, None])

    def row(self) -> "_Pixels":
        return _Pixels(self.y[None], self.x[None], self.exist[None])


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The static part of a launch."""

    geometry: Geometry
    channels: int
    normalizer: Normalizer | None
    config: TuningConfig
    outputs: tuple[_Run, _Run]
    sources: tuple[_Run, _Run]
    dtype: Any  # Of the factors of the products.
    launch: Launch

    @property
    def group_channels(self) -> int:
        return self.channels // self.geometry.groups

    @property
    def blocks(self) -> int:
        """Number of blocks of channels in a group."""
        return pl.cdiv(self.group_channels, self.config.channels)

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles of all groups along the columns, and along the rows."""
        rows, columns = self.geometry.rows, self.geometry.columns
        along_columns = pl.cdiv(columns.anchors, self.config.columns)
        along_rows = pl.cdiv(rows.anchors, self.config.rows)
        return along_columns * self.geometry.groups, along_rows

    @property
    def programs(self) -> int:
        """Number of programs that share the channels of a group."""
        if self.launch == "grad_kernels":
            return 1
        return min(self.config.programs, self.blocks)

    @property
    def steps(self) -> int:
        """Number of blocks of a program."""
        return pl.cdiv(self.blocks, self.programs)

    @property
    def whole(self) -> bool:
        """Whether one product of `reassemble` takes in all the pixels of a tile."""
        return self.config.depth >= _padded(self.sources)

    def dot(
        self,
        a: Array,
        b: Array,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> Array:
        # A float32 product without a precision would be one of TensorFloat-32.
        precision = lax.Precision.HIGHEST if self.dtype == jnp.float32 else None
        a, b = a.astype(self.dtype), b.astype(self.dtype)
        return pltriton.dot(
            a, b, trans_a=transpose_a, trans_b=transpose_b, precision=precision
        )


def _padded(runs: tuple[_Run, _Run]) -> int:
    return max(_SMALLEST, _power_of_two(runs[0].count * runs[1].count))


@dataclasses.dataclass(frozen=True)
class _Tile:
    """The place at which a program works."""

    plan: _Plan
    n: Array
    row: Array
    column: Array
    group: Array
    program: Array

    @classmethod
    def of_program(cls, plan: _Plan) -> "_Tile":
        rest, program = _divide(pl.program_id(0), plan.programs)
        column, group = _divide(rest, plan.geometry.groups)
        config = plan.config
        row = pl.program_id(1) * config.rows
        n = pl.program_id(2)
        return cls(plan, n, row, column * config.columns, group, program)

    def block(self, index: Array | int) -> Array:
        """Return the number of a block of channels of this program."""
        return index * self.plan.programs + self.program

    def each_block(self, first: int) -> Callable[[Callable[[Array], None]], None]:
        """Decorate what is to be done for blocks of this program from `first` on."""

        def do(body: Callable[[Array], None]) -> None:
            def step(index: Array, _: None) -> None:
                body(self.block(index))

            if self.plan.steps > first:
                lax.fori_loop(first, self.plan.steps, step, None)

        return do

    def pixels(self, runs: tuple[_Run, _Run], index: Array) -> _Pixels:
        """Return the pixels at flat indices into a tile."""
        rows, columns = runs
        i, j = _divide(index, columns.count)
        y = self.row * rows.stride + rows.shift + i
        x = self.column * columns.stride + columns.shift + j
        exist = (i < rows.count) & (y >= 0) & (y < rows.size)
        return _Pixels(y, x, exist & (x >= 0) & (x < columns.size))

    def load(self, ref: Any, pixels: _Pixels, block: Array | int) -> Array:
        """Load a block of channels of pixels; what does not exist is zero."""
        at, inside = self._channels(block)
        pixels = pixels.column()
        ref = ref.at[self.n, pixels.y, pixels.x, at]
        return pltriton.load(ref, mask=pixels.exist & inside, other=0)

    def store(
        self, ref: Any, pixels: _Pixels, values: Array, block: Array | int
    ) -> None:
        at, inside = self._channels(block)
        pixels = pixels.column()
        ref = ref.at[self.n, pixels.y, pixels.x, at]
        pltriton.store(ref, values.astype(ref.dtype), mask=pixels.exist & inside)

    def _channels(self, block: Array | int) -> tuple[Array, Array]:
        size, width = self.plan.config.channels, self.plan.group_channels
        at = (block * size + jnp.arange(size))[None]
        return self.group * width + at, at < width

    def taps(self, outputs: _Pixels, sources: _Pixels) -> tuple[Array, Array]:
        """Return at which tap outputs read sources, and whether they do."""
        rows, columns = self.plan.geometry.rows, self.plan.geometry.columns
        k = rows.kernel_size
        dy = sources.y - _source(outputs.y, rows) + rows.radius
        dx = sources.x - _source(outputs.x, columns) + columns.radius
        inside = (dy >= 0) & (dy < k) & (dx >= 0) & (dx < k)
        return dy * k + dx, inside

    def kernels_at(self, outputs: _Pixels) -> tuple[Array, Array, Array]:
        """Return the row, column and kernel of output pixels among the weights."""
        rows, columns = self.plan.geometry.rows, self.plan.geometry.columns
        ay, py = _divide(jnp.maximum(outputs.y, 0), rows.up)
        ax, px = _divide(jnp.maximum(outputs.x, 0), columns.up)
        phase = py * columns.up + px
        return ay, ax, phase * self.plan.geometry.groups + self.group

    def weights_at(self, ref: Any, outputs: _Pixels, taps: Array) -> Any:
        """Return the view of the weights of output pixels at taps."""
        if len(ref.shape) == 5:
            return ref.at[self.n, outputs.y, outputs.x, self.group, taps]
        ay, ax, kernel = self.kernels_at(outputs)
        size = self.plan.geometry.kernel_size**2
        return ref.at[self.n, ay, ax, kernel * size + taps]

    def spread(
        self, ref: Any, outputs: _Pixels, sources: _Pixels
    ) -> tuple[Array, Array]:
        """Return the weights along the band as they are stored, and where it lies."""
        taps, inside = self.taps(outputs, sources)
        inside &= outputs.exist
        weights = self.weights_at(ref, outputs, taps)
        return pltriton.load(weights, mask=inside, other=0), inside

    def band(self, ref: Any, outputs: _Pixels, sources: _Pixels) -> Array:
        """Lay the kernels of outputs where they read sources, else zero."""
        kernels, inside = self.spread(ref, outputs, sources)
        return jnp.where(inside & sources.exist, kernels, 0)

    def powers(
        self, ref: Any, outputs: _Pixels, sources: _Pixels
    ) -> tuple[Array, Array]:
        """Return a band of powers, and what scales its rows to kernels."""
        logits, inside = self.spread(ref, outputs, sources)
        # Pixels outside the map are loaded as zeros; their taps count in the total.
        powers = _powers(logits, inside, self.plan.normalizer).astype(logits.dtype)
        if self.plan.normalizer == "sigmoid":
            return powers, jnp.ones((powers.shape[0], 1), jnp.float32)
        ones = jnp.ones((powers.shape[1], _SMALLEST), powers.dtype)
        return powers, 1 / jnp.max(self.plan.dot(powers, ones), axis=1, keepdims=True)


def _divide(number: Array, by: int) -> tuple[Array, Array]:
    # Numbers here are not negative, which `//` and `%` could not know.
    return lax.div(number, by), lax.rem(number, by)


def _source(output: Array, axis: Axis) -> Array:
    quotient, _ = _divide(jnp.maximum(output, 0) * axis.down, axis.up)
    return quotient


def _normalize(logits: Array, inside: Array, normalizer: Normalizer) -> Array:
    """Normalise each row over what is inside, in float32."""
    powers = _powers(logits, inside, normalizer)
    if normalizer == "sigmoid":
        return powers
    return powers * (1 / jnp.sum(powers, axis=1, keepdims=True))


def _powers(logits: Array, inside: Array, normalizer: Normalizer | None) -> Array:
    """Return what a normalizer divides by the total of each row; sigmoids as such."""
    logits = logits.astype(jnp.float32)
    if normalizer == "sigmoid":
        return jnp.where(inside, _sigmoid(logits), 0)
    if normalizer == "normalized_sigmoid":
        logits = jnp.minimum(logits, 0) - jnp.log1p(_exp(-jnp.abs(logits)))
    logits = jnp.where(inside, logits, -jnp.inf)
    return jnp.where(inside, _exp(logits - _highest(logits)), 0)


def _highest(logits: Array) -> Array:
    """Return the largest of each row.

    As integers, of which a warp finds the largest in one instruction: the bits of a
    float lie in the order of the numbers, but for the negative ones, which are flipped.
    """
    bits = _flipped(lax.bitcast_convert_type(logits, jnp.int32))
    highest = jnp.max(bits, axis=1, keepdims=True)
    return lax.bitcast_convert_type(_flipped(highest), jnp.float32)


def _flipped(bits: Array) -> Array:
    return bits ^ (lax.shift_right_arithmetic(bits, 31) & 0x7FFFFFFF)


def _sigmoid(logits: Array) -> Array:
    return 1 / (1 + _exp(-logits))


def _exp(x: Array) -> Array:
    # A fifth of the instructions of `jnp.exp`, which lowers to a call of libdevice.
    return jnp.exp2(x * math.log2(math.e))


def _sum_pixels(plan: _Plan, runs: tuple[_Run, _Run], add: Any, own: int) -> Array:
    """Sum over the pixels of a tile, a number of them at a time."""
    depth = min(plan.config.depth, _padded(runs))
    chunks = pl.cdiv(runs[0].count * runs[1].count, depth)
    total = jnp.zeros((own, plan.config.channels), jnp.float32)
    if chunks == 1:
        return add(jnp.arange(depth), total)

    def body(chunk: Array, total: Array) -> Array:
        return add(chunk * depth + jnp.arange(depth), total)

    return lax.fori_loop(0, chunks, body, total)


def _reassemble_kernel(
    features_ref: Any, weights_ref: Any, out_ref: Any, *, plan: _Plan
) -> None:
    tile = _Tile.of_program(plan)
    own = _padded(plan.outputs)
    outputs = tile.pixels(plan.outputs, jnp.arange(own))
    if not plan.whole:

        def add(block: Array | int, index: Array, total: Array) -> Array:
            sources = tile.pixels(plan.sources, index)
            band = tile.band(weights_ref, outputs.column(), sources.row())
            return total + plan.dot(band, tile.load(features_ref, sources, block))

        @tile.each_block(first=0)
        def _(block: Array) -> None:
            sums = _sum_pixels(plan, plan.sources, functools.partial(add, block), own)
            tile.store(out_ref, outputs, sums, block)

        return
    sources = tile.pixels(plan.sources, jnp.arange(_padded(plan.sources)))
    # Asked for first: the band is laid while they are on their way.
    features = tile.load(features_ref, sources, tile.block(0))
    scale: Array | None = None
    if plan.normalizer is None:
        band = tile.band(weights_ref, outputs.column(), sources.row())
    else:
        band, scale = tile.powers(weights_ref, outputs.column(), sources.row())

    def multiply(block: Array | int, features: Array) -> None:
        sums = plan.dot(band, features)
        tile.store(out_ref, outputs, sums if scale is None else sums * scale, block)

    if plan.config.num_stages > 1:
        # Triton itself asks for the blocks of a loop ahead of their use.
        multiply(tile.block(0), features)

        @tile.each_block(first=1)
        def _(block: Array) -> None:
            multiply(block, tile.load(features_ref, sources, block))

        return

    def step(index: Array, features: Array) -> Array:
        following = tile.load(features_ref, sources, tile.block(index + 1))
        multiply(tile.block(index), features)
        return following

    last = plan.steps - 1
    multiply(tile.block(last), lax.fori_loop(0, last, step, features))


def _grad_features_kernel(
    weights_ref: Any, cotangent_ref: Any, grad_ref: Any, *, plan: _Plan
) -> None:
    tile = _Tile.of_program(plan)
    own = _padded(plan.sources)
    sources = tile.pixels(plan.sources, jnp.arange(own))

    def add(block: Array | int, index: Array, total: Array) -> Array:
        outputs = tile.pixels(plan.outputs, index)
        # Of one output all weights lie together: threads side by side read those.
        band = tile.band(weights_ref, outputs.column(), sources.row())
        cotangent = tile.load(cotangent_ref, outputs, block)
        return total + plan.dot(band, cotangent, transpose_a=True)

    @tile.each_block(first=0)
    def _(block: Array) -> None:
        sums = _sum_pixels(plan, plan.outputs, functools.partial(add, block), own)
        tile.store(grad_ref, sources, sums, block)


def _grad_kernels_kernel(
    features_ref: Any, cotangent_ref: Any, *refs: Any, plan: _Plan
) -> None:
    *logits_ref, grad_ref = refs
    tile = _Tile.of_program(plan)
    outputs = tile.pixels(plan.outputs, jnp.arange(_padded(plan.outputs)))
    sources = tile.pixels(plan.sources, jnp.arange(_padded(plan.sources)))

    def add(block: Array | int, total: Array) -> Array:
        cotangent = tile.load(cotangent_ref, outputs, block)
        features = tile.load(features_ref, sources, block)
        return total + plan.dot(cotangent, features, transpose_b=True)

    total = jnp.zeros((_padded(plan.outputs), _padded(plan.sources)), jnp.float32)
    gradient = lax.fori_loop(0, plan.blocks, add, total)
    if logits_ref:
        gradient = _pull_back(tile, logits_ref[0], outputs, sources, gradient)
    _store_weights(tile, grad_ref, outputs, sources, gradient)


def _pull_back(
    tile: _Tile, ref: Any, outputs: _Pixels, sources: _Pixels, gradient: Array
) -> Array:
    """Turn the gradient of the kernels into that of the logits, along the band."""
    normalizer = tile.plan.normalizer
    assert normalizer is not None
    logits, inside = tile.spread(ref, outputs.column(), sources.row())
    kernels = _normalize(logits, inside, normalizer)
    if normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    products = kernels * gradient
    gradient = products - kernels * jnp.sum(products, axis=1, keepdims=True)
    if normalizer == "normalized_sigmoid":
        gradient *= _sigmoid(-logits.astype(jnp.float32))
    # A row in which nothing is inside has no total.
    return jnp.where(inside, gradient, 0)


def _store_weights(
    tile: _Tile, ref: Any, outputs: _Pixels, sources: _Pixels, gradient: Array
) -> None:
    """Store the band. Phases that do not exist have loaded zeros: they get zero."""
    geometry, config = tile.plan.geometry, tile.plan.config
    outputs = outputs.column()
    taps, inside = tile.taps(outputs, sources.row())
    rows, columns = geometry.rows, geometry.columns
    own = tile.row + config.rows, tile.column + config.columns
    inside &= outputs.y < jnp.minimum(own[0], rows.anchors) * rows.up
    inside &= outputs.x < jnp.minimum(own[1], columns.anchors) * columns.up
    if len(ref.shape) == 5:
        inside &= outputs.exist
    # What is masked points past the end: it must not alias what is stored.
    weights = tile.weights_at(ref, outputs, jnp.where(inside, taps, ref.shape[-1]))
    pltriton.store(weights, gradient.astype(ref.dtype), mask=inside)


def reassemble(
    features: Float[Array, "n h w c"],
    weights: Float[Array, "n ah aw kernels"] | Float[Array, "n oh ow g taps"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n oh ow c"]:
    """Sum each window of the features, weighted by its kernel."""
    call = _call(features, weights, geometry, normalizer)
    plan = _plan(call, "reassemble", config)
    oh, ow = geometry.rows.output_size, geometry.columns.output_size
    out = jax.ShapeDtypeStruct((call.batch, oh, ow, call.channels), dtype)
    if plan.normalizer is None:
        weights = _normalized(weights, geometry, normalizer)
    return _launch(
        _reassemble_kernel, plan, out, features, weights, interpret=interpret
    )


def grad_features(
    weights: Float[Array, "n ah aw kernels"] | Float[Array, "n oh ow g taps"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n h w c"]:
    """Gather for each source pixel what the windows over it received."""
    call = _call(cotangent, weights, geometry, normalizer)
    plan = _plan(call, "grad_features", config)
    h, w = geometry.rows.size, geometry.columns.size
    grad = jax.ShapeDtypeStruct((call.batch, h, w, call.channels), dtype)
    weights = _normalized(weights, geometry, normalizer)
    return _launch(
        _grad_features_kernel, plan, grad, weights, cotangent, interpret=interpret
    )


def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    weights: Float[Array, "n ah aw kernels"] | None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
    config: TuningConfig | None = None,
    interpret: bool = False,
) -> Float[Array, "n ah aw kernels"] | Float[Array, "n oh ow g taps"]:
    """Multiply each output pixel with every pixel of its window, over the channels."""
    call = _call(features, cotangent, geometry, normalizer)
    plan = _plan(call, "grad_kernels", config)
    rows, columns = geometry.rows, geometry.columns
    taps = geometry.kernel_size**2
    if normalizer is None:
        inner = (rows.output_size, columns.output_size, geometry.groups, taps)
    else:
        kernels = rows.up * columns.up * geometry.groups * taps
        inner = (rows.anchors, columns.anchors, kernels)
    grad = jax.ShapeDtypeStruct((call.batch, *inner), dtype)
    operands = [features, cotangent, *([] if weights is None else [weights])]
    return _launch(_grad_kernels_kernel, plan, grad, *operands, interpret=interpret)


def _call(
    first: Array, second: Array, geometry: Geometry, normalizer: Normalizer | None
) -> Call:
    """Describe a launch by its two factors, the first of which has the channels."""
    return Call(
        geometry,
        batch=first.shape[0],
        channels=first.shape[3],
        features_dtype=first.dtype,
        kernels_dtype=second.dtype,
        normalizer=normalizer,
    )


def _normalized(
    weights: Array, geometry: Geometry, normalizer: Normalizer | None
) -> Array:
    """Normalise before a launch: where one would do so again in many tiles."""
    if normalizer is None:
        return weights
    taps = geometry.kernel_size**2
    shape = (*weights.shape[:3], weights.shape[3] // taps, taps)
    logits = weights.reshape(shape).astype(jnp.float32)
    kernels = normalizers.normalize(logits, normalizer)
    return kernels.reshape(weights.shape).astype(weights.dtype)


def _plan(call: Call, launch: Launch, config: TuningConfig | None) -> _Plan:
    config = config or heuristic(call, launch)
    rows, columns = call.geometry.rows, call.geometry.columns
    of_outputs, of_sources = _own_outputs, _read_sources
    if launch == "grad_features":
        of_outputs, of_sources = _reading_outputs, _own_sources
    same = call.features_dtype == call.kernels_dtype
    sources = (of_sources(rows, config.rows), of_sources(columns, config.columns))
    # A row of a band must be whole to be normalised; else it is before the launch.
    whole = launch == "grad_kernels" or config.depth >= _padded(sources)
    inside = whole and launch != "grad_features"
    return _Plan(
        geometry=call.geometry,
        channels=call.channels,
        normalizer=call.normalizer if inside else None,
        config=config,
        outputs=(of_outputs(rows, config.rows), of_outputs(columns, config.columns)),
        sources=sources,
        dtype=call.features_dtype if same else jnp.dtype(jnp.float32),
        launch=launch,
    )


def _launch(
    kernel: Any,
    plan: _Plan,
    out: jax.ShapeDtypeStruct,
    *operands: Array,
    interpret: bool,
) -> Array:
    # JAX 0.11 and later warn whenever such a launch is lowered, after this returns.
    # Their successor, Mosaic GPU, serves Hopper only; older devices have nothing else.
    warnings.filterwarnings(
        "ignore",
        message="The Pallas Triton backend is deprecated",
        category=DeprecationWarning,
    )
    config, (columns, rows) = plan.config, plan.grid
    return pl.pallas_call(
        functools.partial(kernel, plan=plan),
        out_shape=out,
        grid=(columns * plan.programs, rows, out.shape[0]),
        compiler_params=pltriton.CompilerParams(
            num_warps=config.num_warps, num_stages=config.num_stages
        ),
        interpret=interpret,
        name=f"carafe_{plan.launch}",
    )(*operands)
