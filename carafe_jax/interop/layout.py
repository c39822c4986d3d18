"""Places and shapes of the arrays of a state dict."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from carafe_jax.interop.state_dict import check_shape

NORM_NAMES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


class Size(NamedTuple):
    """A size that several arrays share, such as 4 K for K classes."""

    of: str
    times: int = 1
    plus: int = 0


# None: any size.
Shape = tuple[Size | int | None, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Arrays of a network by their name in a state dict."""

    places: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Path of each array in the variables."""
    shapes: dict[str, Shape] = dataclasses.field(default_factory=dict)
    """Shape of each array in the state dict."""

    def add(
        self,
        theirs: str,
        ours: tuple[str, ...],
        shape: Shape,
        *,
        out_axis: int = 0,
        bias: bool = True,
    ) -> None:
        """Add the weight of a layer, and its bias.

        Args:
          theirs: Name of the layer in the state dict.
          ours: Path of the layer in the variables.
          shape: Shape of the weight.
          out_axis: Axis of the weight with the outputs, as many as the bias has.
          bias: Whether the layer has a bias.
        """
        name = f"{theirs}.weight"
        self.places[name], self.shapes[name] = ("params", *ours, "kernel"), shape
        if bias:
            name = f"{theirs}.bias"
            self.places[name] = ("params", *ours, "bias")
            self.shapes[name] = (shape[out_axis],)

    def add_norm(self, theirs: str, ours: tuple[str, ...], size: Size) -> None:
        """Add the parameters and the statistics of a batch norm."""
        for part, (collection, leaf) in NORM_NAMES.items():
            self.places[f"{theirs}.{part}"] = (collection, *ours, leaf)
            self.shapes[f"{theirs}.{part}"] = (size,)

    def check_shapes(
        self, arrays: Mapping[str, np.ndarray], known: Mapping[str, int]
    ) -> None:
        """Raise unless the arrays agree on the sizes that they share.

        Args:
          arrays: Arrays by their name in the state dict, whose order decides which
            gives a size that is not known.
          known: Sizes that other arrays give.

        Raises:
          RefusedError: A shape differs.
        """
        known = dict(known)
        for name, array in arrays.items():
            shape = self.shapes[name]
            sizes = tuple(_size_of(size, known) for size in shape)
            reason = "" if set(sizes) == {None} else ", to match its neighbours"
            check_shape(name, array, sizes, reason=reason)
            for size, n in zip(shape, array.shape, strict=True):
                if isinstance(size, Size) and size.times == 1:
                    known.setdefault(size.of, n - size.plus)


def _size_of(size: Size | int | None, known: Mapping[str, int]) -> int | None:
    if not isinstance(size, Size):
        return size
    return size.times * known[size.of] + size.plus if size.of in known else None
