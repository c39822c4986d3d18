"""Filling holes in photographs (section 4.3 of the paper)."""
