"""Train Mask R-CNN with each up-sampler of table VI in its mask head on COCO.

Paper: table VI of CARAFE++ (arXiv:2012.04733), ResNet-50, 1x schedule.
Cost: for each row 12 epochs of COCO, about 88,000 steps of 16 images; not run yet.
Expected: mask AP: nearest 32.7, bilinear 34.2, deconv 34.2, pixel_shuffle 34.4, gum
34.3, spatial_attention 34.1, carafe 34.7.
Reached: not run.
Command: python -m experiments.detection.table_6_mask_upsamplers carafe
COCO is read from the folder coco; another one: --data.source FOLDER
A backbone of torchvision: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.detection._coco import MASK_RCNN, coco_run, with_parts

ROWS = {
    "nearest": with_parts(MASK_RCNN, mask_upsampler="nearest"),
    "bilinear": with_parts(MASK_RCNN, mask_upsampler="bilinear"),
    "deconv": with_parts(MASK_RCNN, mask_upsampler="deconv"),
    "pixel_shuffle": with_parts(MASK_RCNN, mask_upsampler="pixel_shuffle"),
    "gum": with_parts(MASK_RCNN, mask_upsampler="gum"),
    "spatial_attention": with_parts(MASK_RCNN, mask_upsampler="spatial_attention"),
    "carafe": with_parts(MASK_RCNN, mask_upsampler="carafe"),
}

if __name__ == "__main__":
    train_one_of(
        {name: coco_run(f"table_6_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
