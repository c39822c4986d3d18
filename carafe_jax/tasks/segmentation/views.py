"""Views of a photograph at test time, whose class probabilities are averaged."""

import dataclasses

from carafe_jax.arguments import check, check_count, check_ints
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
    long_side: int | None = None
    """Limit of the long side of all of them, in pixels. None: that of the run."""
    flip: bool = False
    """Whether the mirror image of each resized photograph is segmented as well."""
    sliding_window: tuple[int, int] | None = None
    """Height and width of windows in which each resized photograph is segmented, in
    pixels, as in semseg's code: 2/3 of a window apart, photographs smaller than a
    window padded with the mean colour. None: whole photographs."""

    def __post_init__(self) -> None:
        if len(self.short_sides):
            check_ints("short_sides", self.short_sides)
        if self.long_side is not None:
            check_count("long_side", self.long_side)
        check("flip", self.flip, "be a bool", holds=isinstance(self.flip, bool))
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

    def check_limits(self, data: SegmentationData) -> None:
        """Check that no short side exceeds the limit of the long side.

        Larger ones would give images of one size, whose average is that of one view.

        Args:
          data: Sizes of the run.

        Raises:
          RefusedError: A short side exceeds the limit.
        """
        largest = max(self.short_sides, default=data.test_short_side)
        if self.long_side is not None:
            rule = f"be at least the largest short side, {largest}"
            check("long_side", self.long_side, rule, holds=self.long_side >= largest)
        limit = data.long_side
        rule = f"be at most the long side of the run, {limit}, without `long_side`"
        holds = self.long_side is not None or largest <= limit
        check("short_sides", self.short_sides, rule, holds=holds)

    def sizes(self, size: Size, data: SegmentationData) -> tuple[Size, ...]:
        """Return the sizes to which a photograph is resized.

        Args:
          size: Of the photograph.
          data: Sizes of the run.
        """
        return tuple(
            data.test_size(size, short_side=side, long_side=self.long_side)
            for side in self.short_sides or (data.test_short_side,)
        )
