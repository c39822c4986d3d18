"""Kernels and source pixels of CARAFE++ layers, detections, label maps, as pictures."""

from carafe_jax.viz.detections import draw_detections as draw_detections
from carafe_jax.viz.drawing import draw_kernels as draw_kernels
from carafe_jax.viz.drawing import draw_sources as draw_sources
from carafe_jax.viz.kernels import effective_taps as effective_taps
from carafe_jax.viz.kernels import tile_kernels as tile_kernels
from carafe_jax.viz.label_maps import colour_label_map as colour_label_map
from carafe_jax.viz.label_maps import default_palette as default_palette
from carafe_jax.viz.label_maps import draw_legend as draw_legend
from carafe_jax.viz.label_maps import overlay_label_map as overlay_label_map
from carafe_jax.viz.levels import Level as Level
from carafe_jax.viz.levels import reassembly_levels as reassembly_levels
from carafe_jax.viz.sources import reassembly_sources as reassembly_sources
from carafe_jax.viz.sources import strongest_sources as strongest_sources

__all__ = [
    "Level",
    "colour_label_map",
    "default_palette",
    "draw_detections",
    "draw_kernels",
    "draw_legend",
    "draw_sources",
    "effective_taps",
    "overlay_label_map",
    "reassembly_levels",
    "reassembly_sources",
    "strongest_sources",
    "tile_kernels",
]
