"""Times of UperNet, beside the same network in PyTorch."""
