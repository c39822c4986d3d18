"""Sizes of images, in the order of their axes."""

from typing import NamedTuple


class Size(NamedTuple):
    """Size of an image, in pixels."""

    height: int
    width: int

    @property
    def is_landscape(self) -> bool:
        """Whether the image is at least as wide as high."""
        return self.width >= self.height

    @property
    def transposed(self) -> "Size":
        """The size after a quarter turn."""
        return Size(self.width, self.height)

    def padded_to(self, divisor: int) -> "Size":
        """Return the next multiples of a divisor of both sides."""
        return Size(*(-(-side // divisor) * divisor for side in self))

    def holds(self, other: "Size") -> bool:
        """Return whether an image of another size fits in."""
        return self.height >= other.height and self.width >= other.width
