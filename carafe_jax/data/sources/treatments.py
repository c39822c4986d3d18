"""Treatment of everything in a COCO annotation file that is not as it should be.

Each has one treatment. An error names the file and the id, or the place in its list. All
else is counted, and listed by `carafe-jax check-data` and in the log.

| found | treatment |
|---|---|
| a file that is not UTF-8, not valid JSON, not an object, without its three lists | error |
| a category without an integer id or a name, or with a blank one; two of one id; two of one name, with objects | error |
| a category that repeats the name of another and has no objects | dropped |
| a class with test objects that the training file, or the evaluated run, lacks | error |
| an image without an integer id or a file name; two of one id, or of one file name | error |
| a file name that is absolute or has `..` | error |
| an image without height and width | mended: those of the upright picture |
| the same, and its picture cannot be read | dropped |
| an image whose picture the folder lacks | dropped, with its objects; an error if all are |
| a picture that the file does not name | dropped: it is not used |
| a picture of another upright size than its entry | unreadable when it is read |
| an annotation whose `image_id` no image has | dropped; an error if all are |
| an annotation without `image_id` or `category_id`, or with a `category_id` that no category has | error |
| a `bbox` that is not four finite numbers | error |
| no `bbox`, or an empty one | mended: the box of the mask |
| the same, without a mask | dropped |
| a `bbox` without area | dropped |
| a `bbox` outside of its image | dropped |
| a `bbox` that crosses the border of its image | kept: evaluated as it is, clipped in training |
| a `bbox` thinner than a pixel | kept: evaluated, left out of training |
| a repeated annotation id, with the same image, class and box | dropped, except for the first |
| a repeated annotation id otherwise, or none that is an integer | mended: numbered anew |
| an `area` that is missing or not positive | mended: that of the mask, or of the box |
| an `iscrowd` that is missing | mended: no crowd |
| an `iscrowd` other than 0 and 1 | error |
| an `ignore` that is true | mended: counted as a crowd |
| a polygon of fewer than three corners, with an odd number of coordinates, not finite, or far outside | dropped |
| the corners of a polygon in a list that is not nested | mended: one polygon |
| a run-length encoding of another size than its image | dropped: an object without a mask |
| a run-length encoding that is damaged or does not fill its size | dropped: an object without a mask |
| an object without a mask, where others have one | kept: its box counts, and is ignored where masks are trained or evaluated |

An image without objects is an image of its split; a run needs images with objects, other
than crowds, in both splits. Boxes and masks are in the upright
frame of the picture: that after its EXIF orientation is applied, as OpenCV and Pillow's
`exif_transpose` do.
"""  # noqa: E501  A line for each row.

from carafe_jax.data.sources.findings import Reason

REPEATED_CATEGORY = Reason(
    "dropped",
    "category",
    "with the name of another and without objects",
    plural="categories",
)
NO_SIZE = Reason(
    "mended",
    "image",
    "without height and width",
    remedy="those of the picture are used",
)
UNREADABLE = Reason(
    "dropped", "image", "without height and width whose picture cannot be read"
)
UNREADABLE_RECORD = Reason("dropped", "record", "that cannot be read")
MISSING_PICTURE = Reason("dropped", "image", "whose picture is not in the folder")
UNNAMED_PICTURE = Reason("dropped", "picture", "that the annotation file does not name")

UNKNOWN_IMAGE = Reason("dropped", "annotation", "of images that the file does not list")
MISSING_IMAGE = Reason("dropped", "annotation", "of images that are dropped")
COPY = Reason("dropped", "annotation", "with the id, class and box of an earlier one")
NO_BOX_OR_MASK = Reason("dropped", "annotation", "without a box or a valid mask")
NOT_FINITE = Reason(
    "dropped", "box", "with coordinates that are not finite", plural="boxes"
)
NO_AREA = Reason("dropped", "box", "without area", plural="boxes")
OUTSIDE = Reason("dropped", "box", "outside of the image", plural="boxes")
BAD_POLYGON = Reason("dropped", "polygon", "with corners that are not valid")
OTHER_SIZE = Reason("dropped", "mask", "of another size than the image")
BAD_RUNS = Reason("dropped", "mask", "with damaged run lengths")

NO_ID_OF_ITS_OWN = Reason(
    "mended",
    "annotation",
    "with a missing or repeated id",
    remedy="numbered anew",
)
NO_BOX = Reason(
    "mended", "annotation", "without a box", remedy="that of the mask is used"
)
NO_POSITIVE_AREA = Reason(
    "mended",
    "annotation",
    "without a positive `area`",
    remedy="that of the mask or the box is used",
)
NO_ISCROWD = Reason(
    "mended", "annotation", "without `iscrowd`", remedy="read as no crowd"
)
IGNORED = Reason("mended", "annotation", "to ignore", remedy="read as a crowd")
FLAT_POLYGON = Reason(
    "mended",
    "annotation",
    "with corners in a list that is not nested",
    remedy="read as one polygon",
)

CROSSING = Reason(
    "kept",
    "box",
    "crossing the border by over a pixel",
    plural="boxes",
    remedy="clipped in training",
)
THIN = Reason(
    "kept",
    "box",
    "thinner than a pixel",
    plural="boxes",
    remedy="left out of training",
)
NO_MASK = Reason(
    "kept",
    "object",
    "without a mask where others have one",
    remedy="ignored where masks are trained or evaluated",
)
