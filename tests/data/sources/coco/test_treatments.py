"""Every flaw of an annotation file has one treatment."""

import math

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import UnreadableImageError, open_annotated_images
from carafe_jax.errors import RefusedError
from tests.data.sources.coco.files import (
    SQUARE,
    annotation,
    content,
    found,
    image,
    masks_of,
    open_train,
    tools,
    without,
    write_split,
)


def open_with(root, *annotations, **lists):
    return open_train(write_split(root, content(annotations, **lists)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bbox": [2, 2, 0, 6]}, "1 box without area"),
        ({"bbox": [2, 2, -8, 6]}, "1 box without area"),
        ({"bbox": [40, 2, 8, 6]}, "1 box outside of the image"),
        ({"bbox": [-9, -9, 8, 6]}, "1 box outside of the image"),
        ({"image_id": 77}, "1 annotation of images that the file does not list"),
        ({"bbox": None, "segmentation": None}, "1 annotation without a box or a"),
        ({"bbox": [], "segmentation": [[1, 1]]}, "1 annotation without a box or a"),
    ],
)
def test_unusable_objects_are_dropped_and_counted(tmp_path, changes, text):
    images = open_with(tmp_path, annotation(7, **changes))
    assert images.objects(0).ids.tolist() == [100]
    assert text in found(images)["dropped"]
    assert "annotation 7" in found(images)["dropped"]


@pytest.mark.parametrize(
    ("entry", "text", "box", "area"),
    [
        (
            without(annotation(7), "bbox"),
            "1 annotation without a box: that of",
            [2, 2, 10, 8],
            48,
        ),
        (
            without(annotation(7, bbox=[1, 1, 9, 9]), "area"),
            "without a positive `area`",
            [1, 1, 10, 10],
            48,
        ),
        (
            annotation(7, area=0, segmentation=[]),
            "without a positive `area`",
            [2, 2, 10, 8],
            48,
        ),
        (
            annotation(7, area=math.nan, bbox=[1, 1, 5, 5], segmentation=[]),
            "without a positive `area`",
            [1, 1, 6, 6],
            25,
        ),
        (
            without(annotation(7), "iscrowd"),
            "1 annotation without `iscrowd`: read as",
            [2, 2, 10, 8],
            48,
        ),
        (
            annotation(7, segmentation=SQUARE[0]),
            "corners in a list that is not nested",
            [2, 2, 10, 8],
            48,
        ),
        (
            without(annotation(7), "id"),
            "with a missing or repeated id: numbered anew (annotation without "
            "id of 1.png)",
            [2, 2, 10, 8],
            48,
        ),
    ],
)
def test_missing_values_are_mended_and_counted(tmp_path, entry, text, box, area):
    images = open_with(tmp_path, entry)
    objects = images.objects(0)
    assert text in found(images)["mended"]
    assert objects.boxes[1].tolist() == box
    assert objects.areas[1] == area
    assert not objects.crowd[1]


def test_copies_are_dropped_and_other_repeated_ids_are_numbered(tmp_path):
    other = annotation(100, bbox=[3, 3, 9, 9])
    images = open_with(tmp_path, annotation(100), other)
    assert images.objects(0).boxes[:, 0].tolist() == [2, 3]
    assert "1 annotation with the id, class and box" in found(images)["dropped"]
    assert "1 annotation with a missing or repeated id" in found(images)["mended"]
    assert [entry["id"] for entry in images.coco()["annotations"]] == [1, 2]


def test_annotations_to_ignore_are_crowds(tmp_path):
    images = open_with(tmp_path, annotation(7, ignore=1), annotation(8, iscrowd=1))
    assert images.objects(0).crowd.tolist() == [False, True, True]
    assert "1 annotation to ignore: read as a crowd" in found(images)["mended"]


def test_unusual_boxes_are_kept(tmp_path):
    images = open_with(
        tmp_path,
        annotation(7, bbox=[-5, 2, 30, 60]),
        annotation(8, bbox=[2, 2, 0.5, 9]),
    )
    assert images.objects(0).boxes[1:].tolist() == [[-5, 2, 25, 62], [2, 2, 2.5, 11]]
    assert "1 box crossing" in found(images)["kept"]
    assert "1 box thinner than a pixel: left out of training" in found(images)["kept"]
    assert images.coco()["annotations"][1]["bbox"] == [-5, 2, 30, 60]


BAD_MASKS = [
    ([[1, 1, 2, 2]], "1 polygon with corners that are not valid"),
    ([[1, 1, 2, 2, 3]], "1 polygon with corners that are not valid"),
    ([[1, 1, 2, 2, 3, 3, 4]], "1 polygon with corners that are not valid"),
    ([[1, 1, 2, "2", 3, 3]], "1 polygon with corners that are not valid"),
    ([[1, 1, math.nan, 2, 3, 3]], "1 polygon with corners that are not valid"),
    ([[1, 1, 1e9, 2, 3, 3]], "1 polygon with corners that are not valid"),
    ([[1, 1, -math.inf, 2, 3, 3]], "1 polygon with corners that are not valid"),
    ({"size": [40, 30], "counts": [1000, 200]}, "1 mask of another size"),
    ({"size": [30, 40], "counts": [1000, 100]}, "1 mask with damaged run lengths"),
    ({"size": [30, 40], "counts": [1300, -100]}, "1 mask with damaged run lengths"),
    ({"size": [30, 40], "counts": "abc"}, "1 mask with damaged run lengths"),
    ({"size": [30, 40], "counts": "P"}, "1 mask with damaged run lengths"),
    ({"size": [30, 40], "counts": "\x00é"}, "1 mask with damaged run lengths"),
    ({"size": [30, 40], "counts": None}, "1 mask with damaged run lengths"),
    ({"size": [30], "counts": [900]}, "1 mask with damaged run lengths"),
    ({"size": ["30", 40], "counts": [900]}, "1 mask with damaged run lengths"),
    ({"size": [2**40, 2**40], "counts": [2**80]}, "1 mask with damaged run lengths"),
    ("mask.png", "1 mask with damaged run lengths"),
]


@pytest.mark.parametrize(("mask", "text"), BAD_MASKS)
def test_invalid_masks_leave_objects_without_a_mask(tmp_path, mask, text):
    images = open_with(tmp_path, annotation(7, segmentation=mask))
    objects = images.objects(0)
    assert text in found(images)["dropped"]
    assert "1 object without a mask where others have one" in found(images)["kept"]
    assert objects.masked.tolist() == [True, False]
    # The mask of its box, which is ignored where masks are evaluated.
    assert masks_of(images, 0)[1].sum() == 48
    crowds = [
        [entry["iscrowd"] for entry in images.coco(kind=kind)["annotations"]]
        for kind in ("bbox", "segm")
    ]
    assert crowds == [[0, 0], [0, 1]]


def test_valid_polygons_remain_of_a_mask_with_others(tmp_path):
    mask = [[1, 1], *SQUARE, [1, 1, math.nan, 2, 3, 3]]
    images = open_with(tmp_path, annotation(7, segmentation=mask))
    assert "2 polygons" in found(images)["dropped"]
    assert images.objects(0).masked.all()
    first, second = masks_of(images, 0)
    np.testing.assert_array_equal(first, second)


def test_masks_of_all_three_forms_are_those_of_pycocotools(tmp_path):
    drawn = np.zeros((30, 40), np.uint8, order="F")
    drawn[3:9, 5:20] = drawn[12, 3] = 1
    compressed = tools.encode(drawn)
    compressed["counts"] = compressed["counts"].decode()
    flat = drawn.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    images = open_with(
        tmp_path,
        annotation(7, segmentation=compressed),
        annotation(8, segmentation={"size": [30, 40], "counts": runs}),
        annotation(9, segmentation=[*SQUARE, [20, 20, 31, 20, 31, 29]]),
    )
    square, first, second, polygons = masks_of(images, 0)
    np.testing.assert_array_equal(first, drawn)
    np.testing.assert_array_equal(second, drawn)
    assert square.sum() == 48
    assert polygons[:18, :15].sum() == 48
    assert polygons.sum() > 48 + 40
    assert not images.findings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"annotation 7: `bbox` must be four finite numbers"),
        ({"bbox": [1, 2, math.nan, 4]}, "annotation 7: `bbox` must .* got .*nan"),
        ({"bbox": [1, 2, "3", 4]}, "annotation 7: `bbox` must .*'3'"),
        ({"bbox": {"x": 1}}, "annotation 7: `bbox` must be four finite numbers"),
        ({"bbox": [1, 2, 1e300, 4]}, "annotation 7: `bbox` must be four finite"),
        ({"iscrowd": 2}, "annotation 7: `iscrowd` must be 0 or 1, got 2"),
        ({"image_id": "1"}, "annotation 7: `image_id` must be an integer, got '1'"),
        ({"category_id": None}, "annotation 7: `category_id` must be an integer"),
        ({"category_id": 2}, "annotation 7: `category_id` must be the id of a categ"),
    ],
)
def test_damaged_annotations_are_refused_by_file_and_id(tmp_path, changes, message):
    write_split(tmp_path, content([annotation(7, **changes)]))
    with pytest.raises(RefusedError, match=rf"instances_train\.json': {message}"):
        open_train(tmp_path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image(1), image(1, file_name="b.png")], "image 1: its id must be its own"),
        ([image(1), image(2, file_name="1.png")], "image 2: must be the only one of"),
        ([image(1), image(2, file_name="./1.png")], "image 2: must be the only one"),
        ([image(1), image(2, file_name="../1.png")], "image 2: .* without '..', got"),
        ([image(1), image(2, file_name="/1.png")], "image 2: .* path below the folder"),
        ([image(1), image(2, file_name=None)], "image 2: `file_name` must be the name"),
        ([image(1), image(2, id="two")], r"images\[1\]: `id` must be an int.*'two'"),
        ([image(1), [2]], r"images\[1\]: must be an object, got \[2\]"),
        ([], "`images`: must hold at least one, got none"),
    ],
)
def test_damaged_images_are_refused_by_file_and_id(tmp_path, images, message):
    write_split(tmp_path, content(images=images), pictures=False)
    Image.new("RGB", (40, 30)).save(tmp_path / "train" / "1.png")
    with pytest.raises(RefusedError, match=rf"instances_train\.json': {message}"):
        open_train(tmp_path)


def test_images_without_pictures_are_dropped_with_their_objects(tmp_path):
    write_split(tmp_path, content([annotation(7, image_id=2)]))
    (tmp_path / "train" / "2.png").rename(tmp_path / "train" / "other.png")
    images = open_train(tmp_path)
    assert len(images) == 1
    dropped = found(images)["dropped"]
    assert "1 image whose picture is not in the folder (image 2, 2.png)" in dropped
    assert "1 annotation of images that are dropped (annotation 7 of 2.png)" in dropped
    assert "1 picture that the annotation file does not name (other.png)" in dropped


def test_annotations_of_unknown_images_alone_are_refused(tmp_path):
    lost = [annotation(number, image_id=50 + number) for number in (1, 2)]
    write_split(tmp_path, content())
    write_split(tmp_path, content() | {"annotations": lost}, split="val")
    with pytest.raises(RefusedError, match="got none of 2, such as 51"):
        open_annotated_images(str(tmp_path), split="test")


def test_folder_without_any_of_the_pictures_is_refused(tmp_path):
    write_split(tmp_path, content(), pictures=False)
    with pytest.raises(RefusedError, match=r"got none of 2, such as '1\.png'"):
        open_train(tmp_path)


def test_images_without_objects_are_images_of_the_split(tmp_path):
    images = open_with(tmp_path)
    assert [len(images.objects(index)) for index in range(2)] == [1, 0]
    assert images.objects(1).boxes.shape == (0, 4)
    assert images.objects(1).masks == ()
    assert [entry["id"] for entry in images.coco()["images"]] == [1, 2]


def test_missing_sizes_are_those_of_the_pictures(tmp_path):
    lacking = [
        without(image(1), "height"),
        image(2, width=0),
        image(3, height="x"),
        image(4, height=2**31, width=2**31),
    ]
    write_split(tmp_path, content(images=lacking))
    (tmp_path / "train" / "3.png").write_bytes(b"no image")
    images = open_train(tmp_path)
    assert [images.size(index) for index in range(len(images))] == [(30, 40)] * 3
    assert "3 images without height and width" in found(images)["mended"]
    assert "image 3, 3.png" in found(images)["dropped"]


def test_pictures_of_another_size_are_unreadable(tmp_path):
    images = open_with(tmp_path, images=[image(1, height=40, width=30)])
    with pytest.raises(UnreadableImageError, match=r"40 x 30 upright, .* has 30 x 40"):
        images.open(0)


def test_boxes_are_in_the_upright_frame(tmp_path):
    write_split(tmp_path, content(images=[image(1, file_name="1.jpg")]))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.new("RGB", (30, 40))
    stored.save(tmp_path / "train" / "1.jpg", exif=exif)
    with open_train(tmp_path).open(0) as opened:
        assert opened.size == (30, 40)
    stored.transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / "train" / "1.jpg", exif=exif
    )
    with pytest.raises(UnreadableImageError, match=r"30 x 40 upright, stored as 40 x"):
        open_train(tmp_path).open(0)


def test_nothing_is_found_in_a_sound_file(tmp_path):
    nested = [image(1, file_name="a/b/1.png"), image(2)]
    images = open_with(tmp_path, annotation(7, image_id=2), images=nested)
    assert not images.findings
    assert images.name(1) == str(tmp_path / "train" / "a/b/1.png")
    with images.open(1) as opened:
        assert opened.size == (40, 30)


def test_findings_are_logged(tmp_path, caplog):
    caplog.set_level("INFO", "carafe_jax")
    open_with(tmp_path, annotation(7, bbox=[2, 2, 0, 0]), without(annotation(8), "id"))
    dropped, mended = [r for r in caplog.records if "train.json" in r.getMessage()]
    assert (dropped.levelname, mended.levelname) == ("WARNING", "INFO")
    assert "1 box without area (annotation 7 of 1.png)" in dropped.getMessage()
