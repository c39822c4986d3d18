"""Scenes of known objects, composed of photographs that ship with scikit-image."""
