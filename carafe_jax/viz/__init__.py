"""Kernels and source pixels of CARAFE++ layers, and detections, as pictures."""

from carafe_jax.viz.detections import draw_detections as draw_detections
from carafe_jax.viz.drawing import draw_kernels as draw_kernels
from carafe_jax.viz.drawing import draw_sources as draw_sources
from carafe_jax.viz.kernels import effective_taps as effective_taps
from carafe_jax.viz.kernels import tile_kernels as tile_kernels
from carafe_jax.viz.levels import Level as Level
from carafe_jax.viz.levels import reassembly_levels as reassembly_levels
from carafe_jax.viz.sources import reassembly_sources as reassembly_sources
from carafe_jax.viz.sources import strongest_sources as strongest_sources

__all__ = [
    "Level",
    "draw_detections",
    "draw_kernels",
    "draw_sources",
    "effective_taps",
    "reassembly_levels",
    "reassembly_sources",
    "strongest_sources",
    "tile_kernels",
]
