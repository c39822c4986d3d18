"""Search for the best block sizes of the launches on the accelerator at hand."""
