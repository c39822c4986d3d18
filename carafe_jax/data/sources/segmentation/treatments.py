"""Treatments of what is wrong with segmented images.

| found | treatment |
|---|---|
| a list of classes that is missing, not UTF-8, or with a line that has no index in [0, 255], no name or a wrong colour | error |
| an index or a name twice; no class, or over 255; colours for some classes alone | error |
| a class named void, unlabelled, unlabeled, ignore or ignored, or of an index in `ignored_labels` | kept: its pixels are ignored |
| an image without a label map | dropped; an error if all are |
| a label map without an image | dropped |
| two images of one name that differ in the extension | error |
| an image or a label map that is damaged before its pixels | dropped; an error if all are |
| a label map that is no PNG, or has several channels or 16 bits | error |
| a label map of another size than its image in the upright frame | error |
| a label map with a palette | read as indices: the palette is not used |
| a label map of 1, 2 or 4 bits | read as the stored values |
| the value 255, unless a class has it | ignored |
| a value that is neither a class nor ignored | unreadable when it is read |
| an image or a label map with damaged pixels | unreadable when it is read |

Errors are raised when a split is opened, which reads the headers of all its files; the
pixels are read in training and by `check-data`. Label maps have the upright frame of
the image: that after its EXIF orientation is applied.
"""  # noqa: E501  A line for each row.

from carafe_jax.data.sources.findings import Reason

VOID_CLASS = Reason(
    "kept",
    "void class",
    "in the list of classes",
    plural="void classes",
    remedy="pixels are ignored",
)
NO_LABEL_MAP = Reason("dropped", "image", "without a label map")
NO_IMAGE = Reason("dropped", "label map", "without an image")
DAMAGED = Reason("dropped", "image", "that cannot be opened, or its label map cannot")
