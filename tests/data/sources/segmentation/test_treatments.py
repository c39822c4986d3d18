"""Every flaw of segmented images has one treatment."""

import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import UnreadableImageError, UnreadableImages, decode_image
from carafe_jax.data import open_segmented_images as open_images
from carafe_jax.errors import RefusedError
from tests.data.sources.segmentation.folders import (
    VALUES,
    found,
    save_image,
    save_labels,
    write_split,
)

LABELS = [[0, 1, 255], [1, 255, 0]]
NARROW = [[0, 1, 0], [1, 1, 0]]


@pytest.fixture
def root(tmp_path):
    """A folder with three training images and a test image."""
    write_split(tmp_path, ["t"], split="val")
    return write_split(tmp_path, ["a", "b", "c"])


def open_train(root, **options):
    return open_images(str(root), split="train", **options)


def label_file(root, name="b"):
    return root / "train" / "labels" / f"{name}.png"


def image_file(root, name="b"):
    return root / "train" / "images" / f"{name}.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1 to 255 classes that are not void, got 0"),
        ("7 void 0 0 0", "1 to 255 classes that are not void, got 0"),
        ("sky 0 0 0", r"classes.txt', line 1 must begin with an index.*got 'sky'"),
        ("0 sky 1 2 3\n256 a 1 2 3", r"line 2 must begin with an index.*got '256'"),
        ("-1 sky 1 2 3", r"index in \[0, 255\], got '-1'"),
        ("0", "must have an index, a name and a colour, got '0'"),
        ("0 sky 1 2 300", r"three numbers in \[0, 255\], got \['1', '2', '300'\]"),
        ("0 sky 1 2 3\n0 sea 1 2 3", "each index of a class once, got 0 2 times"),
        ("0 sky 1 2 3\n2 sky 1 2 3", "each name of a class once, got 'sky' 2 times"),
        ("0 sky 1 2 3\n2 sea", "colours for all classes or for none, got 'sea'"),
        (b"0 sk\xff 1 2 3", "must be a text in UTF-8, got the byte 0xff at 4"),
        ("\n".join(f"{i} c{i}" for i in range(256)), "1 to 255 classes.* got 256"),
    ],
)
def test_damaged_lists_of_classes_are_refused(root, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    (root / "classes.txt").write_bytes(content)
    with pytest.raises(RefusedError, match=message):
        open_train(root)


def test_missing_list_of_classes_is_refused(root):
    (root / "classes.txt").unlink()
    with pytest.raises(RefusedError, match=r"'3 Road 128 64 128'.*does not exist"):
        open_train(root)


@pytest.mark.parametrize("name", ["VOID", "Unlabeled", "ignore", "ignored"])
def test_void_classes_are_ignored_by_their_names(root, name):
    (root / "classes.txt").write_text(f"0 sky\n2 tree\n7 {name}\n")
    assert open_train(root).classes == ("sky", "tree")


@pytest.mark.parametrize(
    "values",
    [(2, 9), np.unique(np.array([[9, 2], [2, 2]], np.uint8)), [np.uint64(2), 9]],
)
def test_values_are_ignored_by_option(root, values):
    images = open_train(root, ignored_labels=values)
    assert images.classes == ("sky",)
    assert "2 void classes in the list" in found(images)["kept"]
    assert "(tall tree (2), Unlabelled (7))" in found(images)["kept"]
    assert images.label_map(0).tolist() == [[0, 255, 255], [255, 255, 0]]


def test_a_class_may_have_the_value_255(root):
    (root / "classes.txt").write_text("0 back\n255 front\n2 void\n7 ignore")
    assert open_train(root).label_map(0).tolist() == [[0, 255, 255], [255, 1, 0]]


def test_255_classes_are_possible(root):
    (root / "classes.txt").write_text("\n".join(f"{i} c{i}" for i in range(255)))
    images = open_train(root)
    assert len(images.classes) == 255
    np.testing.assert_array_equal(images.label_map(0), VALUES)


def test_classes_of_training_set_the_labels(root):
    images = open_train(root, classes=("tall tree", "sea", "sky"))
    assert images.classes == ("tall tree", "sea", "sky")
    assert images.palette is None
    assert images.label_map(0).tolist() == [[2, 0, 255], [0, 255, 2]]
    with pytest.raises(RefusedError, match=r"that training lacks.*'tall tree'"):
        open_train(root, classes=("sky", "sea"))


def test_images_and_label_maps_without_a_partner_are_dropped(root):
    label_file(root, "a").rename(label_file(root, "z"))
    images = open_train(root)
    assert [images.name(i) for i in range(2)] == [
        *(str(image_file(root, name)) for name in "bc")
    ]
    assert found(images)["dropped"] == (
        f"1 image without a label map ({image_file(root, 'a')}); "
        f"1 label map without an image ({label_file(root, 'z')})"
    )


def test_folders_without_a_pair_are_refused(root):
    for name in "abc":
        label_file(root, name).rename(label_file(root, name).with_suffix(".bmp"))
    with pytest.raises(RefusedError, match=r"NAME\.png .*got 3 images .*none of one"):
        open_train(root)


def test_images_of_one_name_are_refused(root):
    save_image(image_file(root).with_suffix(".png"))
    with pytest.raises(RefusedError, match=r"one file of each name .*b\.jpg.*b\.png"):
        open_train(root)


@pytest.mark.parametrize("path", [label_file, image_file])
def test_files_that_cannot_be_opened_are_dropped(root, path):
    path(root).write_bytes(b"no image")
    images = open_train(root)
    assert len(images) == 2
    assert "1 image that cannot be opened, or its label" in found(images)["dropped"]
    assert str(path(root)) in found(images)["dropped"]
    for name in "ac":
        path(root, name).write_bytes(b"")
    with pytest.raises(RefusedError, match=r"got none of 3: cannot read '.*a\."):
        open_train(root)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("RGB", "got the channels RGB in"),
        ("RGBA", "got the channels RGBA in"),
        ("LA", "got the channels LA in"),
        ("I;16", "got 16 bits in"),
    ],
)
def test_label_maps_of_other_modes_are_refused(root, mode, message):
    for name in "bc":
        Image.new(mode, (3, 2)).save(label_file(root, name))
    with pytest.raises(RefusedError, match=rf"{message} '.*b\.png'\. 1 other pair"):
        open_train(root)


def test_label_maps_with_losses_are_refused(root):
    save_labels(label_file(root), format="JPEG")
    with pytest.raises(RefusedError, match=r"in PNG, .* got JPEG in '.*b\.png'"):
        open_train(root)


def test_label_maps_of_other_sizes_are_refused(root):
    save_image(image_file(root), (4, 2))
    message = r"got 3 x 2 in '.*b\.png' and 4 x 2 upright in '.*b\.jpg'"
    with pytest.raises(RefusedError, match=message):
        open_train(root)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_label_maps_have_the_upright_frame_of_the_image(root, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    image_file(root).unlink()
    path = image_file(root).with_suffix(suffix)
    save_image(path, (2, 3), exif=exif)
    images = open_train(root)
    assert images.size(1) == (2, 3)
    image, labels = images.open(1)
    with image:
        assert labels.tolist() == LABELS
    save_image(path, (3, 2), exif=exif)
    if suffix == ".jpg":
        with pytest.raises(RefusedError, match=r"and 2 x 3 upright, stored as 3 x 2"):
            open_train(root)
        return
    # The orientation may follow the pixels, which are not decoded here.
    with pytest.raises(UnreadableImageError, match="it is 2 x 3 upright"):
        open_train(root).open(1)


def test_palettes_are_not_used(root):
    image = Image.fromarray(np.array(VALUES, np.uint8))
    image.putpalette([255, 0, 9] * 256)
    image.save(label_file(root))
    with Image.open(label_file(root)) as file:
        assert file.mode == "P"
    assert open_train(root).label_map(1).tolist() == LABELS


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("colours", ["palette", "grey"])
def test_label_maps_of_few_bits_have_the_stored_values(root, bits, colours):
    values = np.array(NARROW, np.uint8)
    (root / "classes.txt").write_text("0 sky\n1 tree\n")
    for name in "abc":
        save_labels(label_file(root, name), NARROW)
    if colours == "palette":
        image = Image.fromarray(values)
        image.putpalette([9, 9, 9] * 2**bits)
        image.save(label_file(root))
    else:
        label_file(root).write_bytes(grey_png(values, bits))
    with Image.open(label_file(root)) as file:
        assert str(bits) in (file.tile[0].args or file.mode)
    assert open_train(root).label_map(1).tolist() == NARROW


def grey_png(values, bits) -> bytes:
    """Return a PNG of grey values with few bits, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = b""
    for row in values.tolist():
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    height, width = values.shape
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def test_unknown_values_are_unreadable_and_named(root):
    save_labels(label_file(root), [[0, 1, 3], [77, 4, 5]])
    save_labels(label_file(root, "c"), [[0, 1, 3], [77, 4, 6]])
    images = open_train(root)
    message = (
        rf"cannot read '{image_file(root)}': label map '{label_file(root)}': its "
        r"values must be classes or ignored, got 1, 3, 4, 5, 77$"
    )
    with pytest.raises(UnreadableImageError, match=message):
        images.label_map(1)
    with pytest.raises(UnreadableImageError, match=r"got 1, 3, 4, 6, 77$"):
        images.open(2)
    reader = UnreadableImages(images, limit=2)
    assert reader.read_or_next(1, images.label_map).tolist() == LABELS


def test_many_unknown_values_are_shortened(root):
    save_labels(label_file(root), [[10, 11, 12], [13, 14, 15]])
    with pytest.raises(UnreadableImageError, match=r"got 10, 11, 12, 13, 14, \.\.\.$"):
        open_train(root).label_map(1)


@pytest.mark.parametrize("path", [label_file, image_file])
def test_damaged_pixels_are_unreadable(root, path):
    if path is label_file:
        noise = np.random.default_rng(0).choice([0, 2], (80, 90))
        save_labels(label_file(root), noise)
        save_image(image_file(root), (90, 80))
    images = open_train(root)
    content = path(root).read_bytes()
    path(root).write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError):
        decode_image(images.open(1)[0])


def test_files_that_change_after_opening_are_unreadable(root):
    images = open_train(root)
    save_image(image_file(root), (5, 2))
    with pytest.raises(UnreadableImageError, match="5 x 2 upright, and its label map"):
        images.open(1)
    save_labels(label_file(root), [[0], [0]])
    with pytest.raises(UnreadableImageError, match="1 x 2 upright, and its image 3"):
        images.label_map(1)
    Image.new("RGB", (3, 2)).save(label_file(root))
    with pytest.raises(UnreadableImageError, match="got the channels RGB"):
        images.label_map(1)
    label_file(root).unlink()
    with pytest.raises(UnreadableImageError, match="No such file"):
        images.label_map(1)


def test_images_can_be_pickled(root):
    images = open_train(root)
    copy = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(copy.label_map(0), images.label_map(0))
    assert copy.classes == images.classes


def test_findings_are_logged(root, caplog):
    label_file(root, "a").unlink()
    with caplog.at_level("INFO"):
        open_train(root)
    folder = root / "train" / "images"
    assert f"Dropped in {folder}: 1 image without a label map" in caplog.text
    assert f"Kept in {folder}: 1 void class" in caplog.text
