"""The kernels, compiled for TPUs and GPUs without the hardware."""
