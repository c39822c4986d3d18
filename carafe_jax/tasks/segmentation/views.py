"""Views of a photograph at test time, whose class probabilities are averaged."""

import dataclasses

from carafe_jax.arguments import check_ints
from carafe_jax.errors import no_type_check
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.data_settings import SegmentationData


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
    """Views of each photograph. The probabilities of the classes are averaged."""

    short_sides: tuple[int, ...] = ()
    """Limits of the short side to which each photograph is resized, in pixels; CSAIL's
    code has 300 375 450 525 600. Empty: that of the run alone."""
    flip: bool = False
    """Whether the mirror image of each resized photograph is segmented as well."""

    def __post_init__(self) -> None:
        if self.short_sides != ():
            check_ints("short_sides", self.short_sides)

    def sizes(self, size: Size, data: SegmentationData) -> tuple[Size, ...]:
        """Return the sizes to which a photograph is resized.

        Args:
          size: Of the photograph.
          data: Sizes of the run.
        """
        short_sides = self.short_sides or (data.test_short_side,)
        return tuple(data.test_size(size, short_side=side) for side in short_sides)
