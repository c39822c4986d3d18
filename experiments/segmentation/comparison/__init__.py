"""Label maps of two networks side by side."""
