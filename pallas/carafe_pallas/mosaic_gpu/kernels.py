"""The kernels of a run of neighbouring anchors in shared memory.

In device memory they are a flat array: TMA needs strides that are multiples of 16
bytes, and the kernel of a phase may have, say, 50 bytes. A copy starts at a multiple of
16 bytes, so the requested elements may begin a few elements into the slot (`shift`).

A *row* here is one phase of one anchor. A thread normalises a whole row, with its taps
in registers.
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas.call import Normalizer
from carafe_pallas.geometry import Geometry
from carafe_pallas.mosaic_gpu.layouts import (
    Stride,
    layout_cast,
    load,
    round_up,
    rows_layout,
    rows_of,
)
from carafe_pallas.mosaic_gpu.normalizers import normalize

CHUNK = 256  # Elements of one copy, the limit of TMA.
UNIT = 8  # Elements. Copies start at multiples of it: 16 bytes, or 32 in float32.


@dataclasses.dataclass(frozen=True)
class AnchorRun:
    """Sizes and copies of the kernels of `anchors` neighbours in a row of anchors."""

    geometry: Geometry
    anchors: int
    normalizer: Normalizer | None
    interpret: bool

    @property
    def taps(self) -> int:
        return self.geometry.taps

    @property
    def phases(self) -> int:
        return self.geometry.phases

    @property
    def row_stride(self) -> int:
        """Elements between neighbouring phases of a group."""
        return self.geometry.groups * self.taps

    @property
    def anchor_stride(self) -> int:
        return self.geometry.anchor_channels

    @property
    def rows(self) -> int:
        """Rows of a group, rounded up to a number that `rows_layout` supports."""
        return rows_of(self.anchors * self.phases)

    @property
    def layout(self) -> Any:
        return rows_layout(self.rows)

    @property
    def length(self) -> int:
        """Elements of a slot of raw kernels: all `rows`, and room for the shift."""
        return round_up(self.rows * self.row_stride + UNIT, CHUNK)

    @property
    def chunks(self) -> int:
        """Copies of a fetch, which starts up to `UNIT - 1` elements early."""
        return -(-(self.anchors * self.anchor_stride + UNIT - 1) // CHUNK)

    @staticmethod
    def shift(start: Any) -> Any:
        """Return the index in the slot of the element that is at `start` in memory."""
        return start & (UNIT - 1)

    def fetch(self, kernels_gmem: Any, raw_smem: Any, barrier: Any, start: Any) -> None:
        """Start the copies of the kernels from `start` on, with `chunks` arrivals."""
        aligned = start - self.shift(start)

        # TMA fills in zeros for elements outside the array. The interpreter does not:
        # there the array is padded (`Plan.kernels_margin`).
        @pl.loop(0, self.chunks)
        def _(chunk):
            first = pl.multiple_of(chunk * CHUNK, CHUNK)
            plgpu.copy_gmem_to_smem(
                kernels_gmem.at[pl.ds(aligned + first, CHUNK)],
                raw_smem.at[pl.ds(first, CHUNK)],
                barrier,
            )

    def send(self, smem: Any, gmem: Any, start: Any) -> None:
        """Start the copies of the kernels back to device memory, from `start` on."""
        # The last copy is shorter: a whole chunk would overwrite the next kernels.
        total = self.anchors * self.anchor_stride
        for first in range(0, total, CHUNK):
            size = min(CHUNK, total - first)
            plgpu.copy_smem_to_gmem(
                smem.at[pl.ds(first, size)], gmem.at[pl.ds(start + first, size)]
            )

    def logits(self, raw_smem: Any, slot: Any, group: Any, start: Any) -> list[Array]:
        """Load the taps of each row in float32; `start` is that of the fetch."""
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
        valid: Any = None,
    ) -> None:
        """Store the normalised kernels, (taps, rows), or zeros in rows not `valid`."""
        taps = normalize(self.logits(raw_smem, slot, group, start), self.normalizer)
        for tap, value in enumerate(taps):
            # Rounded to the dtype of the kernels, as in every backend.
            value = value.astype(raw_smem.dtype).astype(jnp.float32)
            if valid is not None:
                value = jnp.where(valid, value, 0.0)
            kernels_smem[tap] = value

    def exists(self, row: Any, column: Any) -> Array:
        """Return whether each row is an output pixel, from anchor (row, column) on."""
        rows, columns = self.geometry.rows, self.geometry.columns
        index = lax.broadcasted_iota(jnp.int32, (self.rows,), 0)
        index = layout_cast(index, self.layout, interpret=self.interpret)
        anchor = lax.div(index, self.phases)
        phase = lax.rem(index, self.phases)
        y = lax.div(phase, columns.up) + row * rows.up
        x = lax.rem(phase, columns.up) + (anchor + column) * columns.up
        inside = (y >= 0) & (y < rows.output_size)
        return inside & (x >= 0) & (x < columns.output_size)
