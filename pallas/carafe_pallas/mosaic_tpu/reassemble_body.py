"""The body of `reassemble`: band @ patch, strip by strip."""

from typing import Any

from jax.experimental import pallas as pl

from carafe_pallas.mosaic_tpu.kernels import normalize_block
from carafe_pallas.mosaic_tpu.lanes import rotate_lanes, spread
from carafe_pallas.mosaic_tpu.plan import Plan
from carafe_pallas.mosaic_tpu.tiles import (
    by_strip,
    each_group,
    interleave,
    patch,
    select_group,
    strip_of,
)


def reassemble_body(
    rows_ref: Any,
    spread_ref: Any,
    same_segment_ref: Any,
    features_ref: Any,
    kernels_ref: Any,
    out_ref: Any,
    normalized_ref: Any,
    *,
    plan: Plan,
) -> None:
    """Write the output pixels of a block of anchors and of channels."""
    block = pl.program_id(1)

    # The blocks of channels of the same rows run in sequence on one core: the first
    # normalises the kernels for all of them.
    @pl.when(pl.program_id(2) == 0)
    def _normalize() -> None:
        normalize_block(
            plan, kernels_ref, rows_ref, same_segment_ref, normalized_ref, block=block
        )

    def run_strip(row: Any, strip: int) -> None:
        anchor = block * plan.config.rows + row
        kernels = normalized_ref[row, strip_of(plan, strip), :]
        pixels = patch(plan, features_ref, anchor=anchor, block=block, strip=strip)

        # The patch has the channels of all groups: each group's band multiplies all of
        # them, and the other groups' channels of the result are dropped.
        def run_group(group: Any) -> Any:
            own = rotate_lanes(plan, kernels, group, back=False)
            band = spread(plan, [own], spread_ref, strip=strip)
            return plan.dot(band, pixels, (1, 0))

        out = each_group(
            plan,
            2,
            run_group,
            lambda out, own, group: select_group(plan, own, group, out),
        )
        _store_strip(plan, out_ref, out, row=row, strip=strip)

    by_strip(plan, run_strip)


def _store_strip(plan: Plan, out_ref: Any, out: Any, *, row: Any, strip: int) -> None:
    """Store (phases * strip, channels) as rows of output pixels."""
    up, width = plan.bands.up, plan.config.strip
    phases = [out[p * width : (p + 1) * width] for p in range(up**2)]
    columns = slice(strip * width * up, (strip + 1) * width * up)
    for py in range(up):
        line = interleave(plan, phases[py * up : (py + 1) * up], out_ref.dtype)
        out_ref[0, row * up + py, columns, :] = line
