"""Image files, paired with their label maps by name."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from PIL import Image

from carafe_jax.data.decoding import open_image
from carafe_jax.data.sources.digests import digest_of_files, digest_of_texts
from carafe_jax.data.sources.findings import EXAMPLES, Findings
from carafe_jax.data.sources.segmentation.layout import SplitFolders
from carafe_jax.data.sources.segmentation.treatments import NO_IMAGE, NO_LABEL_MAP
from carafe_jax.data.sources.walk import image_names
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable


@dataclasses.dataclass(frozen=True)
class PairedFiles:
    """Image files with their label maps, in the order of the names of the images."""

    folders: SplitFolders
    images: tuple[str, ...]
    """Paths of the images below their folder."""
    labels: tuple[str, ...]
    """Paths of their label maps below the folder of these."""

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the path of an image, in printable form."""
        return printable(self.folders.images / self.images[index])

    def label_name(self, index: int) -> str:
        """Return the path of a label map, in printable form."""
        return printable(self.folders.labels / self.labels[index])

    def digest(self) -> str:
        """Return a hash of the names and sizes of both kinds of files."""
        return digest_of_texts(
            digest_of_files(self.folders.images, self.images),
            digest_of_files(self.folders.labels, self.labels),
        )

    def open(self, index: int) -> Image.Image:
        """Open an image; its pixels are not decoded."""
        return open_image(self.folders.images / self.images[index])

    def open_labels(self, index: int) -> Image.Image:
        """Open a label map; its pixels are not decoded."""
        return open_image(self.folders.labels / self.labels[index])

    def chosen(self, names: Sequence[str]) -> "PairedFiles":
        """Return the pairs of some images, in ascending order."""
        labels = dict(zip(self.images, self.labels, strict=True))
        return PairedFiles(
            self.folders, tuple(names), tuple(labels[name] for name in names)
        )


def find_pairs(folders: SplitFolders, findings: Findings) -> PairedFiles:
    """Match the images of a split to its label maps; no file is opened.

    Args:
      folders: Folders of the split.
      findings: Images and label maps without a partner are added.

    Raises:
      RefusedError: Two images have one name without the extension, or no image has a
        label map.
    """
    images = _by_key(image_names(folders.images), folders.images, folders.image_ending)
    maps = [x for x in image_names(folders.labels) if x.lower().endswith(".png")]
    labels = _by_key(maps, folders.labels, folders.label_ending)
    paired = sorted(set(images) & set(labels), key=images.__getitem__)
    if not paired:
        found = f"{len(images)} images in {str(folders.images)!r}"
        raise RefusedError(
            f"`source` must have label maps NAME{folders.label_ending}.png in "
            f"{str(folders.labels)!r}, for images NAME{folders.image_ending}, got "
            f"{found} and {len(labels)} label maps, none of one name."
        )
    for reason, names, others, folder in (
        (NO_LABEL_MAP, images, labels, folders.images),
        (NO_IMAGE, labels, images, folders.labels),
    ):
        alone = sorted(name for key, name in names.items() if key not in others)
        shown = [printable(folder / name) for name in alone[:EXAMPLES]]
        findings.add(reason, shown, count=len(alone))
    return PairedFiles(
        folders,
        tuple(images[key] for key in paired),
        tuple(labels[key] for key in paired),
    )


def _by_key(names: Sequence[str], folder: pathlib.Path, ending: str) -> dict[str, str]:
    """Return the files whose names have an ending, by their names without it."""
    found: dict[str, str] = {}
    for name in names:
        stem = os.path.splitext(name)[0]
        if not stem.endswith(ending):
            continue
        key = stem.removesuffix(ending)
        if key in found:
            raise RefusedError(
                f"`source` must have one file of each name in {str(folder)!r}, got "
                f"{printable(found[key])!r} and {printable(name)!r}."
            )
        found[key] = name
    return found
