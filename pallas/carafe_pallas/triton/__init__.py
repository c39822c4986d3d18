"""The backend for NVIDIA GPUs of sm_80 and later, see `launches.py`."""

from carafe_pallas.triton.heuristics import heuristic as heuristic
from carafe_pallas.triton.heuristics import refusal as refusal
from carafe_pallas.triton.launches import grad_features as grad_features
from carafe_pallas.triton.launches import grad_kernels as grad_kernels
from carafe_pallas.triton.launches import reassemble as reassemble
from carafe_pallas.triton.plan import TuningConfig as TuningConfig

KERNELS_BY_PIXEL: bool = True
