"""Search for the best block sizes of the kernels on the accelerator at hand."""
