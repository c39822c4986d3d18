"""Train Faster R-CNN with each up-sampler of table IV in its FPN on COCO.

Paper: table IV of CARAFE++ (arXiv:2012.04733), ResNet-50, 1x schedule.
Cost: for each row 12 epochs of COCO, about 88,000 steps of 16 images; not run yet.
Expected: box AP: nearest 36.5, bilinear 36.7, nearest_conv 36.6, bilinear_conv 36.6,
deconv 36.4, pixel_shuffle 36.5, gum 36.9, spatial_attention 36.9, carafe 37.8.
Reached: not run.
Command: python -m experiments.detection.table_4_upsamplers carafe
COCO is read from the folder coco; or: --data.source tfds:coco/2017
A backbone of torchvision: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.detection._coco import FASTER_RCNN, coco_run, with_parts

ROWS = {
    "nearest": with_parts(FASTER_RCNN, upsampler="nearest"),
    "bilinear": with_parts(FASTER_RCNN, upsampler="bilinear"),
    "nearest_conv": with_parts(FASTER_RCNN, upsampler="nearest_conv"),
    "bilinear_conv": with_parts(FASTER_RCNN, upsampler="bilinear_conv"),
    "deconv": with_parts(FASTER_RCNN, upsampler="deconv"),
    "pixel_shuffle": with_parts(FASTER_RCNN, upsampler="pixel_shuffle"),
    "gum": with_parts(FASTER_RCNN, upsampler="gum"),
    "spatial_attention": with_parts(FASTER_RCNN, upsampler="spatial_attention"),
    "carafe": with_parts(FASTER_RCNN, upsampler="carafe"),
}

if __name__ == "__main__":
    train_one_of(
        {name: coco_run(f"table_4_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
