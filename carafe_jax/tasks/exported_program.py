"""Serialised programs of trained networks, which run without carafe-jax."""

import importlib.util
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.export

from carafe_jax.arguments import check_count
from carafe_jax.errors import MissingExtraError, RefusedError

Platform = Literal["cpu", "tpu", "cuda"]


def serialised_program(
    function: Callable[..., Any], *inputs: jax.ShapeDtypeStruct, platform: Platform
) -> bytearray:
    """Return the serialised program of a function that JAX can trace.

    Args:
      function: Function of arrays.
      *inputs: Shapes and dtypes of its arguments.
      platform: Platform that the program runs on.

    Raises:
      MissingExtraError: flatbuffers is not installed.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise MissingExtraError(
            "Exporting needs flatbuffers: pip install 'carafe-jax[export]'."
        )
    return jax.export.export(jax.jit(function), platforms=[platform])(
        *inputs
    ).serialize()


def check_fixed_program(
    *,
    platform: Platform,
    batch_size: int,
    size: tuple[int, int] | None,
    size_divisor: int,
    kind: str,
) -> None:
    """Raise if a program of images of one size cannot be exported.

    Args:
      platform: Platform that the program runs on.
      batch_size: Images per batch.
      size: Height and width of the images. None: those of the run.
      size_divisor: Number whose multiples are the sides of images.
      kind: Kind of the network, for errors, such as "detector".

    Raises:
      RefusedError: An argument is invalid.
    """
    if platform == "cuda":
        raise RefusedError(
            f"`platform` must be 'cpu' or 'tpu' for a {kind}, got {platform!r}: JAX "
            "guarantees no compatibility of exported GPU kernels."
        )
    check_count("batch_size", batch_size)
    if size is not None and (
        min(size) < 1 or any(side % size_divisor for side in size)
    ):
        raise RefusedError(
            f"`size` must be two positive multiples of {size_divisor} for a {kind}, "
            f"got {size}."
        )
