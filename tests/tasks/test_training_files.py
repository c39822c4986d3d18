"""Runs that are resumed after their training files have changed."""

import numpy as np
import pytest
from PIL import Image

from carafe_jax.errors import RefusedError
from tests.tasks.runs import (
    adversarial,
    classification,
    inpainting,
    labelled_folder,
    segmentation,
    with_source,
)
from tests.tasks.segmentation.drawn_folder import drawn_folder


def classifier(root):
    run = classification(labelled_folder(root / "data"), root / "run")
    return run, root / "data" / "train" / "red" / "3.png"


def segmenter(root):
    run = segmentation(drawn_folder(root / "data"), root / "run")
    return run, root / "data" / "train" / "images" / "3.png"


def labels_of_segmenter(root):
    return segmenter(root)[0], root / "data" / "train" / "labels" / "3.png"


def fill_network(root):
    folder = labelled_folder(root / "data")
    return with_source(inpainting(root / "run"), folder), folder / "train/red/3.png"


def fill_networks(root):
    folder = labelled_folder(root / "data")
    return with_source(adversarial(root / "run"), folder), folder / "train/red/3.png"


@pytest.fixture(
    params=[classifier, segmenter, labels_of_segmenter, fill_network, fill_networks],
    ids=lambda make: make.__name__,
)
def stopped(request, tmp_path):
    """A run with a checkpoint, and the path of one of its training files."""
    run, path = request.param(tmp_path)
    run.make_task().prepare(run.workdir)
    (run.workdir / "checkpoints" / "2").mkdir(parents=True)
    run.make_task().prepare(run.workdir)
    return run, path


def test_run_with_changed_files_is_refused(stopped):
    run, path = stopped
    with Image.open(path) as image:
        pixels = np.asarray(image)
    Image.fromarray(pixels // 255).save(path)  # Smaller, as all pixels are equal.
    with pytest.raises(RefusedError, match="with other file names, sizes, annotations"):
        run.make_task().prepare(run.workdir)


def test_run_with_fewer_files_is_refused(stopped):
    run, path = stopped
    path.unlink()
    with pytest.raises(RefusedError, match=r"started with, (\d+) images, got (?!\1)"):
        run.make_task().prepare(run.workdir)


def test_run_of_an_earlier_version_resumes(stopped):
    run, path = stopped
    (run.workdir / "training_set.json").unlink()
    path.unlink()
    run.make_task().prepare(run.workdir)
    assert (run.workdir / "training_set.json").exists()
