"""Run the command `carafe-jax` as `python -m carafe_jax`."""

from carafe_jax.cli import main

if __name__ == "__main__":
    main()
