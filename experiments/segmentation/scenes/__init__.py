"""Pictures of known objects with label maps."""
