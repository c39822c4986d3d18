"""The weights of a run of neighbouring anchors in shared memory.

They lie in device memory as one long array: rows of 50 or 200 bytes are none that the
copy engine could address. It starts at whole units of 16 bytes, so that what is asked
for may begin a few values later in shared memory (`shift`). A *row* here is one phase
of one anchor; a thread normalises a whole row, its taps in registers.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas._mosaic_gpu_tiles import (
    Stride,
    cast,
    load,
    round_up,
    rows_layout,
    rows_of,
)
from carafe_pallas.call import Normalizer
from carafe_pallas.geometry import Geometry

CHUNK = 256  # Values that one copy may bring.
UNIT = 8  # Values of 16 bytes or 32, at a multiple of which a copy starts.


@dataclasses.dataclass(frozen=True)
class AnchorRun:
    """Sizes and moves of the weights of `anchors` neighbours in one anchor row."""

    geometry: Geometry
    anchors: int
    normalizer: Normalizer | None
    interpret: bool

    @property
    def taps(self) -> int:
        return self.geometry.kernel_size**2

    @property
    def phases(self) -> int:
        return self.geometry.rows.up * self.geometry.columns.up

    @property
    def row_stride(self) -> int:
        """Values from one phase of a group to its next."""
        return self.geometry.groups * self.taps

    @property
    def anchor_stride(self) -> int:
        return self.phases * self.row_stride

    @property
    def rows(self) -> int:
        """Phases of all anchors of one group, rounded up to whole threads."""
        return rows_of(self.anchors * self.phases)

    @property
    def layout(self) -> Any:
        return rows_layout(self.rows)

    @property
    def length(self) -> int:
        """Values of a slot of raw weights, rows that no anchor has included."""
        return round_up(self.rows * self.row_stride + UNIT, CHUNK)

    @property
    def chunks(self) -> int:
        return -(-(self.anchors * self.anchor_stride + UNIT - 1) // CHUNK)

    @staticmethod
    def shift(start: Any) -> Any:
        """Return the place in shared memory of the value at `start`."""
        return start & (UNIT - 1)

    def fetch(self, weights_gmem: Any, raw_smem: Any, barrier: Any, start: Any) -> None:
        """Start to copy the unit of `start` and on; `chunks` arrivals are counted."""
        aligned = start - self.shift(start)

        @pl.loop(0, self.chunks)
        def _(chunk):
            first = pl.multiple_of(chunk * CHUNK, CHUNK)
            plgpu.copy_gmem_to_smem(
                weights_gmem.at[pl.ds(aligned + first, CHUNK)],
                raw_smem.at[pl.ds(first, CHUNK)],
                barrier,
            )

    def send(self, smem: Any, gmem: Any, start: Any) -> None:
        """Start to copy the weights to `start` and on."""
        total = self.anchors * self.anchor_stride
        for first in range(0, total, CHUNK):
            size = min(CHUNK, total - first)
            plgpu.copy_smem_to_gmem(
                smem.at[pl.ds(first, size)], gmem.at[pl.ds(start + first, size)]
            )

    def logits(self, raw_smem: Any, slot: Any, group: Any, start: Any) -> list[Array]:
        """Read the taps of each row, in float32; `start` as they were fetched."""
        read = functools.partial(load, layout=self.layout, interpret=self.interpret)
        return [
            read(
                raw_smem,
                (slot,),
                Stride(
                    self.rows,
                    self.row_stride,
                    offset=group * self.taps + tap,
                    start=self.shift(start),
                ),
            ).astype(jnp.float32)
            for tap in range(self.taps)
        ]

    def normalize(
        self,
        raw_smem: Any,
        slot: Any,
        group: Any,
        start: Any,
        kernels_smem: Any,
        mask: Any = None,
    ) -> None:
        """Write the kernels (taps, rows); zero where the mask says no."""
        taps = _normalize(self.logits(raw_smem, slot, group, start), self.normalizer)
        for tap, value in enumerate(taps):
            # Rounded to the dtype of the weights, as every backend does.
            value = value.astype(raw_smem.dtype).astype(jnp.float32)
            if mask is not None:
                value = jnp.where(mask, value, 0.0)
            kernels_smem[tap] = value

    def exists(self, row: Any, column: Any) -> Array:
        """Return which rows are output pixels, from the first anchor (row, column)."""
        rows, columns = self.geometry.rows, self.geometry.columns
        index = lax.broadcasted_iota(jnp.int32, (self.rows,), 0)
        index = cast(index, self.layout, interpret=self.interpret)
        anchor = lax.div(index, self.phases)
        phase = lax.rem(index, self.phases)
        y = lax.div(phase, columns.up) + row * rows.up
        x = lax.rem(phase, columns.up) + (anchor + column) * columns.up
        inside = (y >= 0) & (y < rows.output_size)
        return inside & (x >= 0) & (x < columns.output_size)

    def pull_back(self, gradient: list[Array], logits: list[Array]) -> list[Array]:
        """Turn gradients of the kernels into gradients of the logits."""
        kernels = _normalize(logits, self.normalizer)
        if self.normalizer == "sigmoid":
            pairs = zip(gradient, kernels, strict=True)
            return [g * kernel * (1 - kernel) for g, kernel in pairs]
        inner = _total([g * k for g, k in zip(gradient, kernels, strict=True)])
        pulled = [k * (g - inner) for g, k in zip(gradient, kernels, strict=True)]
        if self.normalizer == "normalized_sigmoid":
            pairs = zip(pulled, logits, strict=True)
            return [g * _sigmoid(-logit) for g, logit in pairs]
        return pulled


def _normalize(
    logits: list[jax.Array], normalizer: Normalizer | None
) -> list[jax.Array]:
    match normalizer:
        case None:
            return logits
        case "softmax":
            return _softmax(logits)
        case "sigmoid":
            return [_sigmoid(logit) for logit in logits]
        case "normalized_sigmoid":
            return _softmax([_log_sigmoid(logit) for logit in logits])


def _softmax(logits: list[jax.Array]) -> list[jax.Array]:
    highest = functools.reduce(jnp.maximum, logits)
    powers = [jnp.exp(logit - highest) for logit in logits]
    scale = 1 / _total(powers)
    return [power * scale for power in powers]


def _sigmoid(logit: jax.Array) -> jax.Array:
    return 1 / (1 + jnp.exp(-logit))


def _log_sigmoid(logit: jax.Array) -> jax.Array:
    return jnp.minimum(logit, 0.0) - jnp.log(1 + jnp.exp(-jnp.abs(logit)))


def _total(terms: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, terms)
