"""Weights from PyTorch checkpoints, as NumPy arrays."""

from carafe_jax.interop.mmcv import mmcv_carafe_to_flax as mmcv_carafe_to_flax
from carafe_jax.interop.mmdetection import mmdetection_to_flax as mmdetection_to_flax
from carafe_jax.interop.mmediting import (
    mmediting_global_local_to_flax as mmediting_global_local_to_flax,
)
from carafe_jax.interop.mmediting import (
    mmediting_patch_gan_to_flax as mmediting_patch_gan_to_flax,
)
from carafe_jax.interop.mmediting import (
    mmediting_sn_patch_gan_to_flax as mmediting_sn_patch_gan_to_flax,
)
from carafe_jax.interop.segmentation import csail_to_flax as csail_to_flax
from carafe_jax.interop.segmentation import semseg_to_flax as semseg_to_flax
from carafe_jax.interop.torchvision import (
    torchvision_resnet_to_flax as torchvision_resnet_to_flax,
)
from carafe_jax.interop.weights_file import load_state_dict as load_state_dict

__all__ = [
    "csail_to_flax",
    "load_state_dict",
    "mmcv_carafe_to_flax",
    "mmdetection_to_flax",
    "mmediting_global_local_to_flax",
    "mmediting_patch_gan_to_flax",
    "mmediting_sn_patch_gan_to_flax",
    "semseg_to_flax",
    "torchvision_resnet_to_flax",
]
