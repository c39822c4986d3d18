"""Train Global&Local of partial convolutions with CARAFE++ to fill holes in Places.

Paper: table X of CARAFE++ (arXiv:2012.04733), row 4; section 5.1 for the setting.
Cost: 300,000 steps of 32 pictures of 256 px; not run yet.
Expected: L1 5.60 %, PSNR 21.05 dB (the paper's, on its own holes).
Reached: not run.
Command: python -m experiments.inpainting.places_partial_conv_carafe
A folder instead of TFDS: --data.source FOLDER
"""

import pathlib

from carafe_jax.cli.train import train
from carafe_jax.models import GlobalLocalConfig
from carafe_jax.tasks.inpainting import AdversarialInpaintingRun

if __name__ == "__main__":
    config = AdversarialInpaintingRun(
        generator=GlobalLocalConfig(convolution="partial", resampler="carafe"),
        workdir=pathlib.Path("runs/inpainting/places_partial_conv_carafe"),
    )
    train(config, doc=__doc__)
