"""Train Faster R-CNN with each down-sampler of table III on COCO.

Paper: table III of CARAFE++ (arXiv:2012.04733), ResNet-50, 1x schedule.
Cost: for each row 12 epochs of COCO, about 88,000 steps of 16 images; not run yet.
Expected: box AP: conv 36.5, max 37.8, average 37.9, dpp 37.7, lip 38.0, carafe 38.8.
Reached: not run.
Command: python -m experiments.detection.table_3_downsamplers carafe
COCO is read from the folder coco; or: --data.source tfds:coco/2017
A backbone of torchvision: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.detection._coco import FASTER_RCNN, coco_run, with_parts

ROWS = {
    "conv": with_parts(FASTER_RCNN, downsampler="conv"),
    "max": with_parts(FASTER_RCNN, downsampler="max"),
    "average": with_parts(FASTER_RCNN, downsampler="average"),
    "dpp": with_parts(FASTER_RCNN, downsampler="dpp"),
    "lip": with_parts(FASTER_RCNN, downsampler="lip_bottleneck"),
    "carafe": with_parts(FASTER_RCNN, downsampler="carafe"),
}

if __name__ == "__main__":
    train_one_of(
        {name: coco_run(f"table_3_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
