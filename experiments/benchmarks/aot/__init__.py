"""What the compilers of TPUs and GPUs make of the kernels, without the hardware."""
