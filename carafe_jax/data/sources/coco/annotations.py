"""Objects from the annotations of a COCO file: what is dropped, mended and kept."""

import numpy as np
from jaxtyping import Int64

from carafe_jax.data.sources.coco.annotation_file import AnnotationFile
from carafe_jax.data.sources.coco.categories import Categories
from carafe_jax.data.sources.coco.columns import NO_ID
from carafe_jax.data.sources.coco.masks import MaskReader
from carafe_jax.data.sources.coco.pictures import Pictures
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.object_columns import ObjectColumns, all_of, check_boxes
from carafe_jax.data.sources.treatments import (
    COPY,
    IGNORED,
    MISSING_IMAGE,
    NO_BOX,
    NO_BOX_OR_MASK,
    NO_ID_OF_ITS_OWN,
    NO_ISCROWD,
    NO_MASK,
    NO_POSITIVE_AREA,
    UNKNOWN_IMAGE,
)
from carafe_jax.texts import printable


def objects_of(
    file: AnnotationFile,
    *,
    pictures: Pictures,
    others: Int64[np.ndarray, "n"],
    categories: Categories,
    findings: Findings,
) -> dict[str, np.ndarray]:
    """Return the columns of `ObjectTable.of` for the objects of some images.

    Args:
      file: Annotation file.
      pictures: Images of the split.
      others: Ids of images whose annotations are skipped: those of the other split.
      categories: Classes of the file.
      findings: What is found is added.

    Raises:
      RefusedError: An annotation has a category that the file lacks.
      MissingExtraError: A mask is needed for a box or an area, and pycocotools is not
        installed.
    """
    objects = _read(file, findings)
    _set_labels(objects, file, categories)
    _keep_images(objects, file, pictures, others)
    _number(objects)
    masks = MaskReader(file.columns)
    masks.check(objects)
    _mend_boxes(objects, masks)
    check_boxes(objects)
    _mend_areas(objects, masks)
    objects.report(NO_ISCROWD, objects["no_iscrowd"])
    objects.report(IGNORED, objects["ignore"])
    if objects["masked"].any():
        objects.report(NO_MASK, ~objects["masked"] & ~objects["crowd"])
    names = ("image", "bbox", "label", "crowd", "area", "id", "masked")
    return {
        "image_id": pictures.ids,
        "size": pictures.sizes,
        **{name: objects[name] for name in names},
        **masks.arrays(objects),
    }


def _read(file: AnnotationFile, findings: Findings) -> ObjectColumns:
    columns, rows = file.columns, file.rows
    ignore = columns.column("ignore")[rows] != 0
    names = {}  # Of images, by their ids: only examples are looked up.

    def describe(objects: ObjectColumns, row: int) -> str:
        if not names:
            names.update({entry["id"]: entry["file_name"] for entry in file.images})
        image, number = int(objects["image_id"][row]), int(objects["id"][row])
        name = printable(names.get(image, f"image {image}"))
        return f"annotation {'without id' if number == NO_ID else number} of {name}"

    return ObjectColumns(
        {
            "row": rows,
            "id": columns.column("ids")[rows],
            "image_id": columns.column("image_ids")[rows],
            "category_id": columns.column("category_ids")[rows],
            "bbox": columns.column("boxes").reshape(-1, 4)[rows],
            "area": columns.column("areas")[rows],
            "ignore": ignore,
            "crowd": (columns.column("crowd")[rows] != 0) | ignore,
            "no_iscrowd": columns.column("has_crowd_key")[rows] == 0,
        },
        findings=findings,
        describe=describe,
    )


def _set_labels(
    objects: ObjectColumns, file: AnnotationFile, categories: Categories
) -> None:
    """Set the column `label` from the ids of the categories."""
    ids = np.array(categories.ids, np.int64)
    order = np.argsort(ids)
    place = np.searchsorted(ids[order], objects["category_id"])
    label = order[np.minimum(place, len(ids) - 1)]
    unknown = np.flatnonzero(ids[label] != objects["category_id"])
    if len(unknown):
        first = int(unknown[0])
        raise file.error(
            f"annotation {objects['id'][first]}",
            "`category_id` must be the id of a category in the file, got "
            f"{objects['category_id'][first]}",
        )
    objects["label"] = label.astype(np.int32)


def _keep_images(
    objects: ObjectColumns,
    file: AnnotationFile,
    pictures: Pictures,
    others: Int64[np.ndarray, "n"],
) -> None:
    """Drop the objects of other images; sort by image, and add the images' columns."""
    listed = np.array([int(entry["id"]) for entry in file.images], np.int64)
    unknown = ~np.isin(objects["image_id"], listed)
    if len(unknown) and unknown.all():
        raise file.error(
            "`annotations`",
            "must have the `image_id` of an image in the file, got none of "
            f"{len(unknown):,}, such as {objects['image_id'][0]}",
        )
    # Those of unknown images are counted once: in the training part of a file.
    skipped = np.isin(objects["image_id"], others)
    objects.choose(~skipped)
    objects.drop(UNKNOWN_IMAGE, unknown[~skipped])
    objects.drop(MISSING_IMAGE, ~np.isin(objects["image_id"], pictures.ids))
    order = np.argsort(pictures.ids)
    place = np.searchsorted(pictures.ids[order], objects["image_id"])
    objects["image"] = order[place]
    objects.choose(np.argsort(objects["image"], kind="stable"))
    objects["size"] = pictures.sizes[objects["image"]]


def _number(objects: ObjectColumns) -> None:
    """Drop copies of annotations; report ids that are not unique."""
    ids = objects["id"]
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    original = first[inverse]
    repeats = (original != np.arange(len(ids))) & (ids != NO_ID)
    same = all_of(objects["bbox"] == objects["bbox"][original])
    for name in ("image", "label"):
        same &= objects[name] == objects[name][original]
    objects["repeats"] = repeats | (ids == NO_ID)
    objects.drop(COPY, repeats & same)
    objects.report(NO_ID_OF_ITS_OWN, objects["repeats"])


def _mend_boxes(objects: ObjectColumns, masks: MaskReader) -> None:
    """Take the boxes of masks where there is none."""
    missing = ~all_of(np.isfinite(objects["bbox"]))
    objects.drop(NO_BOX_OR_MASK, missing & ~objects["masked"])
    missing = ~all_of(np.isfinite(objects["bbox"]))
    objects.report(NO_BOX, missing)
    for row in np.flatnonzero(missing).tolist():
        objects["bbox"][row] = masks.box(objects, row)


def _mend_areas(objects: ObjectColumns, masks: MaskReader) -> None:
    """Take the areas of masks, or of boxes, where there is none."""
    missing = np.isnan(objects["area"])
    objects.report(NO_POSITIVE_AREA, missing)
    sides = objects["bbox"][:, 2:].prod(1)
    objects["area"] = np.where(missing, sides, objects["area"])
    for row in np.flatnonzero(missing & objects["masked"]).tolist():
        if area := masks.area(objects, row):
            objects["area"][row] = area
