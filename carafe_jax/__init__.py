"""CARAFE++, content-aware reassembly of features, for JAX and Flax."""
