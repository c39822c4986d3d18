"""Annotations of composed scenes."""

import json

import numpy as np
import pycocotools.mask
from rich.console import Console

from experiments.detection.scenes.__main__ import Scenes, write_split


def test_annotations_describe_the_visible_masks(tmp_path):
    config = Scenes(output=tmp_path, train=3, val=1, width=64, height=48)
    written = write_split(config, "train", console=Console(quiet=True))
    assert [x["file_name"] for x in written["images"]] == [
        f"{i:05d}.png" for i in (1, 2, 3)
    ]
    assert all(
        (tmp_path / "train" / x["file_name"]).exists() for x in written["images"]
    )
    for annotation in json.loads(json.dumps(written))["annotations"]:
        mask = pycocotools.mask.decode(annotation["segmentation"])
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert annotation["area"] == mask.sum()
