"""Train the networks of table VIII on ADE20K: UperNet, PSPNet and PSANet.

Paper: table VIII of CARAFE++ (arXiv:2012.04733); CARAFE++ in the backbone and in all
places of the decoder.
Cost: for each row 100,000 steps of 16 images, of PSPNet and PSANet 100 epochs, 126,400
steps; not run yet.
Expected: mIoU / pixel accuracy in %: upernet_r50 40.44 / 79.80, _carafe 43.05 / 80.81;
upernet_r101 42.00 / 80.79, _carafe 43.94 / 81.26; pspnet_r50 41.68 / 80.04, _r101
41.96 / 80.64; psanet_r50 41.92 / 80.17, _r101 42.75 / 80.71. PSPNet and PSANet are
rows of their own papers; they are trained by the recipe of semseg, their authors' code,
up to what docs/segmenters.md lists.
Reached: not run.
Command: python -m experiments.segmentation.table_8_networks upernet_r50_carafe
ADE20K is read from ADEChallengeData2016; another folder: --data.source FOLDER
Backbones: runs/classification/imagenet_resnet50_deep and so on, by python -m
experiments.classification.imagenet_resnet50 --network.stem deep --workdir that folder.
An encoder of CSAIL in their place: --start.model None --start.weights FILE
"""

from carafe_jax.cli.train import train_one_of
from carafe_jax.models.segmentation import SegmenterConfig
from experiments.segmentation._ade20k import UPERNET, ade20k_run, with_parts
from experiments.segmentation._resamplers import PLACES

CARAFE = with_parts(UPERNET, **PLACES["all_four"])
PSPNET = SegmenterConfig(
    architecture="pspnet",
    ppm_upsampler="bilinear",
    norm_momentum=0.999,
    dtype="bfloat16",
)
PSANET = SegmenterConfig(architecture="psanet", norm_momentum=0.999, dtype="bfloat16")
ROWS = {
    f"{name}_r{depth}{suffix}": with_parts(network, depth=depth)
    for name, network, suffix in (
        ("upernet", UPERNET, ""),
        ("upernet", CARAFE, "_carafe"),
        ("pspnet", PSPNET, ""),
        ("psanet", PSANET, ""),
    )
    for depth in (50, 101)
}


if __name__ == "__main__":
    train_one_of(
        {name: ade20k_run(f"table_8_{name}", each) for name, each in ROWS.items()},
        doc=__doc__ or "",
    )
