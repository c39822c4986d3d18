"""The backend for TPUs, v4 and later, see `launches.py`."""

from carafe_pallas.mosaic_tpu.heuristics import heuristic as heuristic
from carafe_pallas.mosaic_tpu.heuristics import refusal as refusal
from carafe_pallas.mosaic_tpu.launches import grad_features as grad_features
from carafe_pallas.mosaic_tpu.launches import grad_kernels as grad_kernels
from carafe_pallas.mosaic_tpu.launches import reassemble as reassemble
from carafe_pallas.mosaic_tpu.plan import TuningConfig as TuningConfig

KERNELS_BY_PIXEL: bool = False
