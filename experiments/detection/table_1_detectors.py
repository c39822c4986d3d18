"""Train the detectors of table I on COCO: ResNet-101, with and without CARAFE++.

Paper: table I of CARAFE++ (arXiv:2012.04733), 2x schedule. DCNv2 in c3 to c5.
Cost: for each row 24 epochs of COCO, about 176,000 steps of 16 images; not run yet.
Expected: box AP (mask AP) on test-dev: faster_rcnn 39.7, _carafe 42.2, _dcn 43.2,
_dcn_carafe 44.3; mask_rcnn 40.8 (37.0), _carafe 43.2 (39.1), _dcn 44.2 (39.7),
_dcn_carafe 45.3 (40.6). Here the test images are those of val2017.
Reached: not run.
Command: python -m experiments.detection.table_1_detectors mask_rcnn_carafe
COCO is read from the folder coco; another one: --data.source FOLDER
A backbone of torchvision: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.detection._coco import FASTER_RCNN, MASK_RCNN, coco_run, with_parts

ROWS = {
    "faster_rcnn": with_parts(FASTER_RCNN, depth=101),
    "faster_rcnn_carafe": with_parts(
        FASTER_RCNN, depth=101, downsampler="carafe", upsampler="carafe"
    ),
    "faster_rcnn_dcn": with_parts(FASTER_RCNN, depth=101, deformable="c3-c5"),
    "faster_rcnn_dcn_carafe": with_parts(
        FASTER_RCNN,
        depth=101,
        deformable="c3-c5",
        downsampler="carafe",
        upsampler="carafe",
    ),
    "mask_rcnn": with_parts(MASK_RCNN, depth=101),
    "mask_rcnn_carafe": with_parts(
        MASK_RCNN,
        depth=101,
        downsampler="carafe",
        upsampler="carafe",
        mask_upsampler="carafe",
    ),
    "mask_rcnn_dcn": with_parts(MASK_RCNN, depth=101, deformable="c3-c5"),
    "mask_rcnn_dcn_carafe": with_parts(
        MASK_RCNN,
        depth=101,
        deformable="c3-c5",
        downsampler="carafe",
        upsampler="carafe",
        mask_upsampler="carafe",
    ),
}

if __name__ == "__main__":
    train_one_of(
        {
            name: coco_run(f"table_1_{name}", each, epochs=24)
            for name, each in ROWS.items()
        },
        doc=__doc__ or "",
    )
