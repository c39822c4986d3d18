"""Lattices that up-sampling leaves in fills: their measure and a picture of them."""
