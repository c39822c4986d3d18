"""Annotated images of a folder with COCO annotation files."""

from carafe_jax.data.sources.coco.opening import open_coco_folder as open_coco_folder

__all__ = ["open_coco_folder"]
