"""The backend for NVIDIA GPUs of the Hopper generation, see `launches.py`."""

from carafe_pallas.mosaic_gpu.heuristics import heuristic as heuristic
from carafe_pallas.mosaic_gpu.heuristics import refusal as refusal
from carafe_pallas.mosaic_gpu.launches import grad_features as grad_features
from carafe_pallas.mosaic_gpu.launches import grad_kernels as grad_kernels
from carafe_pallas.mosaic_gpu.launches import reassemble as reassemble
from carafe_pallas.mosaic_gpu.plan import TuningConfig as TuningConfig

KERNELS_BY_PIXEL: bool = False
