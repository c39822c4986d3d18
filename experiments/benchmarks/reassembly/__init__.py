"""Speed and memory of `carafe_jax.reassemble` at the shapes of real networks."""
