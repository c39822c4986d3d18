"""Ahead-of-time compilation of the launches for TPUs and GPUs, without the chips."""
