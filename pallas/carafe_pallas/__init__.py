"""Pallas kernels of the reassembly operator."""
