"""Check of labelled images: their number, sizes and classes."""

import dataclasses

from PIL import Image

from carafe_jax.data import (
    Findings,
    LabelledImages,
    decode_centre,
    open_labelled_images,
)
from carafe_jax.data.spread import spread
from carafe_jax.tasks.classification.data_check_options import DataCheckOptions
from carafe_jax.tasks.data_check import (
    ObjectCounts,
    Splits,
    SplitUse,
    open_existing,
)
from carafe_jax.texts import printable


@dataclasses.dataclass(frozen=True)
class LabelledSplit:
    """Labelled images of one split."""

    images: LabelledImages
    findings: Findings = dataclasses.field(default_factory=Findings)
    sizes: None = None
    use: SplitUse = SplitUse()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.images.classes

    def open(self, index: int) -> tuple[Image.Image, int | None]:
        """Open an image; return it with its label."""
        return self.images.open(index)

    def object_counts(self) -> ObjectCounts | None:
        """Return None: labels are not objects."""
        return None

    def examples(self, count: int) -> list[int]:
        """Return images that are spread evenly, and with them over the classes."""
        return spread(len(self.images), count)

    def draw(self, index: int, *, height: int) -> tuple[Image.Image, str]:
        """Return the centre of an image, and the name of its class."""
        image, label = self.images.open(index)
        with image:
            pixels = decode_centre(image, size=height, resize_size=height)
        return Image.fromarray(pixels), printable(self.classes[label])


def open_splits(
    source: str, *, test_fraction: float, options: DataCheckOptions
) -> Splits[LabelledSplit]:
    """Open the splits of a source of labelled images."""
    return open_existing(
        lambda split: LabelledSplit(
            open_labelled_images(
                source,
                split=split,
                test_split=options.test_split,
                test_fraction=test_fraction,
            )
        )
    )
