"""Filling of holes in photographs."""
