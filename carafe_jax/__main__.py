"""`python -m carafe_jax` is the command `carafe-jax`."""

from carafe_jax.cli import main

if __name__ == "__main__":
    main()
