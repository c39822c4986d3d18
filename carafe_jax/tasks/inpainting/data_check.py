"""Check of photographs without labels: their number and sizes."""

import dataclasses

from PIL import Image

from carafe_jax.data import (
    DecodedPhotographs,
    Findings,
    Photographs,
    open_photographs,
)
from carafe_jax.data.spread import spread
from carafe_jax.tasks.data_check import (
    ObjectCounts,
    Splits,
    SplitUse,
    open_existing,
)
from carafe_jax.tasks.inpainting.data_check_options import DataCheckOptions
from carafe_jax.tasks.picture_sheet import fit
from carafe_jax.texts import printable


@dataclasses.dataclass(frozen=True)
class PhotographSplit:
    """Photographs of one split."""

    images: Photographs
    findings: Findings = dataclasses.field(default_factory=Findings)
    classes: tuple[str, ...] = ()
    sizes: None = None
    use: SplitUse = SplitUse()

    def open(self, index: int) -> tuple[Image.Image, int | None]:
        """Open a photograph."""
        if isinstance(self.images, DecodedPhotographs):
            return self.images.open(index), None
        return Image.fromarray(self.images[index]), None

    def object_counts(self) -> ObjectCounts | None:
        """Return None: there are no objects."""
        return None

    def examples(self, count: int) -> list[int]:
        """Return photographs that are spread evenly."""
        return spread(len(self.images), count)

    def draw(self, index: int, *, height: int) -> tuple[Image.Image, str]:
        """Return a photograph, and its name."""
        picture = Image.fromarray(self.images[index])
        name = self.images.name(index).split("/")[-1]
        return fit(picture, height), f"{printable(name)}, {_sides(picture)}"


def open_splits(
    source: str, *, test_fraction: float, options: DataCheckOptions
) -> Splits[PhotographSplit]:
    """Open the splits of a source of photographs."""
    return open_existing(
        lambda split: PhotographSplit(
            open_photographs(
                source,
                split=split,
                minimum_side=options.crop_size or 1,
                test_split=options.test_split,
                test_fraction=test_fraction,
                cache_bytes=0,
            )
        )
    )


def _sides(picture: Image.Image) -> str:
    return f"{picture.width} x {picture.height}"
