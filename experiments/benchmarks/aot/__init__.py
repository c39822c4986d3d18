"""Ahead-of-time compilation of the kernels for TPUs and GPUs, without the chips."""
