"""The kernels of a run of neighbouring anchors in shared memory.

They lie in device memory as one long array: rows of 50 or 200 bytes are none that the
copy engine could address. It starts at whole units of 16 bytes, so that what is
requested may begin a few values later in shared memory (`shift`). A *row* here is one
phase of one anchor; a thread normalises a whole row, its taps in registers.
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
    cast,
    load,
    round_up,
    rows_layout,
    rows_of,
)
from carafe_pallas.mosaic_gpu.normalizers import normalize

CHUNK = 256  # Values that one copy may bring.
UNIT = 8  # Values of 16 bytes or 32, at a multiple of which a copy starts.


@dataclasses.dataclass(frozen=True)
class AnchorRun:
    """Sizes and moves of the kernels of `anchors` neighbours in one anchor row."""

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
        """Values from one phase of a group to its next."""
        return self.geometry.groups * self.taps

    @property
    def anchor_stride(self) -> int:
        return self.geometry.anchor_channels

    @property
    def rows(self) -> int:
        """Phases of all anchors of one group, rounded up to whole threads."""
        return rows_of(self.anchors * self.phases)

    @property
    def layout(self) -> Any:
        return rows_layout(self.rows)

    @property
    def length(self) -> int:
        """Values of a slot of raw kernels, rows that no anchor has included."""
        return round_up(self.rows * self.row_stride + UNIT, CHUNK)

    @property
    def chunks(self) -> int:
        """Copies of a fetch, which may begin up to a unit early."""
        return -(-(self.anchors * self.anchor_stride + UNIT - 1) // CHUNK)

    @staticmethod
    def shift(start: Any) -> Any:
        """Return the place in shared memory of the value at `start`."""
        return start & (UNIT - 1)

    def fetch(self, kernels_gmem: Any, raw_smem: Any, barrier: Any, start: Any) -> None:
        """Start to copy the unit of `start` and on; `chunks` arrivals are counted."""
        aligned = start - self.shift(start)

        # What lies past the end of the array arrives as zeros; the interpreter cannot
        # do that, and the array has a margin there.
        @pl.loop(0, self.chunks)
        def _(chunk):
            first = pl.multiple_of(chunk * CHUNK, CHUNK)
            plgpu.copy_gmem_to_smem(
                kernels_gmem.at[pl.ds(aligned + first, CHUNK)],
                raw_smem.at[pl.ds(first, CHUNK)],
                barrier,
            )

    def send(self, smem: Any, gmem: Any, start: Any) -> None:
        """Start to copy the kernels to `start` and on."""
        # Here the last copy must not be a whole one: it would write into what follows.
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
        taps = normalize(self.logits(raw_smem, slot, group, start), self.normalizer)
        for tap, value in enumerate(taps):
            # Rounded to the dtype of the kernels, as every backend does.
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
