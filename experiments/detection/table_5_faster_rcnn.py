"""Train Faster R-CNN with CARAFE++ in its parts on COCO.

Paper: table V of CARAFE++ (arXiv:2012.04733), ResNet-50, 1x schedule.
Cost: for each row 12 epochs of COCO, about 88,000 steps of 16 images; not run yet.
Expected: box AP: none 36.5, fpn 37.8, backbone 38.8, both 39.6.
Reached: not run.
Command: python -m experiments.detection.table_5_faster_rcnn both
COCO is read from the folder coco; or: --data.source tfds:coco/2017
A backbone of torchvision: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.detection._coco import FASTER_RCNN, coco_run, with_parts

ROWS = {
    "none": with_parts(FASTER_RCNN),
    "fpn": with_parts(FASTER_RCNN, upsampler="carafe"),
    "backbone": with_parts(FASTER_RCNN, downsampler="carafe"),
    "both": with_parts(FASTER_RCNN, downsampler="carafe", upsampler="carafe"),
}

if __name__ == "__main__":
    train_one_of(
        {name: coco_run(f"table_5_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
