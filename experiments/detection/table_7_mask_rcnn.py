"""Train Mask R-CNN with CARAFE++ in its parts on COCO.

Paper: table VII of CARAFE++ (arXiv:2012.04733), ResNet-50, 1x schedule.
Cost: for each row 12 epochs of COCO, about 88,000 steps of 16 images; not run yet.
Expected: box AP (mask AP): none 37.4 (34.2), fpn 38.6 (35.2), mask 37.3 (34.7),
fpn_mask 38.6 (35.6), backbone 39.5 (35.9), all 40.3 (36.8).
Reached: not run.
Command: python -m experiments.detection.table_7_mask_rcnn all
COCO is read from the folder coco; another one: --data.source FOLDER
A backbone of torchvision: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.detection._coco import MASK_RCNN, coco_run, with_parts

ROWS = {
    "none": with_parts(MASK_RCNN),
    "fpn": with_parts(MASK_RCNN, upsampler="carafe"),
    "mask": with_parts(MASK_RCNN, mask_upsampler="carafe"),
    "fpn_mask": with_parts(MASK_RCNN, upsampler="carafe", mask_upsampler="carafe"),
    "backbone": with_parts(MASK_RCNN, downsampler="carafe"),
    "all": with_parts(
        MASK_RCNN, downsampler="carafe", upsampler="carafe", mask_upsampler="carafe"
    ),
}

if __name__ == "__main__":
    train_one_of(
        {name: coco_run(f"table_7_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
