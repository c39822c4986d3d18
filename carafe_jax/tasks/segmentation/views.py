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

    sliding_window: tuple[int, int] | None = None
    """Height and width of windows in which each resized photograph is segmented, in
    pixels, as in semseg's code: 2/3 of a window apart, photographs smaller than a
    window padded with the mean colour. None: whole photographs."""

    def __post_init__(self) -> None:
        if self.short_sides != ():
            check_ints("short_sides", self.short_sides)
        if self.sliding_window is not None:
            check_ints("sliding_window", self.sliding_window, length=2)

    @property
    def views(self) -> "Views":
        """The views alone, of options that have more."""
        fields = {x.name: getattr(self, x.name) for x in dataclasses.fields(Views)}
        return Views(**fields)

    @property
    def window(self) -> Size | None:
        """Size of a sliding window. None: whole photographs."""
        return None if self.sliding_window is None else Size(*self.sliding_window)

    def sizes(self, size: Size, data: SegmentationData) -> tuple[Size, ...]:
        """Return the sizes to which a photograph is resized.

        Args:
          size: Of the photograph.
          data: Sizes of the run.
        """
        short_sides = self.short_sides or (data.test_short_side,)
        return tuple(data.test_size(size, short_side=side) for side in short_sides)
