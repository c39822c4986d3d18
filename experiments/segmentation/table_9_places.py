"""Train UperNet with CARAFE++ in each of its places, and in several, on ADE20K.

Paper: table IX of CARAFE++ (arXiv:2012.04733), ResNet-50.
Cost: for each row 100,000 steps of 16 images; not run yet.
Expected: mIoU / pixel accuracy in %: plain 40.44 / 79.80, ppm 40.85 / 79.97, fpn 40.79
/ 80.01, fuse 41.06 / 80.23, ppm_fpn 41.55 / 80.30, ppm_fuse 42.01 / 80.11, fpn_fuse
41.93 / 80.34, ppm_fpn_fuse 42.23 / 80.34, backbone 41.93 / 80.35, all_four 43.05 /
80.81.
Reached: not run.
Command: python -m experiments.segmentation.table_9_places fuse
ADE20K is read from ADEChallengeData2016; another folder: --data.source FOLDER
Backbones: runs/classification/imagenet_resnet50_deep and so on, by python -m
experiments.classification.imagenet_resnet50 --network.stem deep --workdir that folder.
An encoder of CSAIL in their place: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from experiments.segmentation._ade20k import UPERNET, ade20k_run, with_parts
from experiments.segmentation._resamplers import PLACES

ROWS = {name: with_parts(UPERNET, **fields) for name, fields in PLACES.items()}

if __name__ == "__main__":
    train_one_of(
        {name: ade20k_run(f"table_9_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
