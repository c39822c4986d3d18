"""Evaluation of a trained segmentation network on a test set."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from carafe_jax.data.sources.opening import name_of_source
from carafe_jax.data.spread import spread
from carafe_jax.metrics import SegmentationQuality
from carafe_jax.tasks.evaluation_provenance import write_evaluation_provenance
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.segmentation.data import SegmentationDataset
from carafe_jax.tasks.segmentation.evaluation_options import (
    EvaluationOptions as EvaluationOptions,
)
from carafe_jax.tasks.segmentation.evaluator import SegmentationEvaluator
from carafe_jax.tasks.segmentation.loading import load
from carafe_jax.tasks.segmentation.prediction import TrainedSegmenter
from carafe_jax.tasks.segmentation.quality import COLUMNS, write_per_class
from carafe_jax.tasks.segmentation.window_batches import with_window_logits
from carafe_jax.tasks.tables import draw_table, write_table
from carafe_jax.texts import counted, listed, printable
from carafe_jax.train import CheckpointChoice, ShardedPredictor

_SHOWN = 5  # Names of classes in a line.


def evaluate(
    model: pathlib.Path,
    *,
    which: CheckpointChoice,
    source: str | None,
    batch_size: int,
    output: pathlib.Path,
    options: EvaluationOptions,
    console: Console,
) -> None:
    """Segment every test photograph; print and write the scores.

    Args:
      model: Folder of the run that trained the network.
      which: Checkpoint of the run: the best or the last.
      source: Source of the segmented photographs, whose classes are matched to those of
        the run by name. None: that of the run.
      batch_size: Photographs per batch; with sliding windows, windows.
      output: Folder for quality.csv, per_class.csv, samples.png and provenance.json.
      options: Test set, views of each photograph, and number of pictures.
      console: Console for the progress bar and the table.

    Raises:
      RefusedError: The folder holds no such checkpoint, the source has a class that the
        run does not have, or an option does not suit the run or the source.
    """
    views = options.views
    with loading(console, model):
        trained = load(model, which=which, views=views)
    data = options.data(trained.data, source=source, batch_size=batch_size)
    dataset = SegmentationDataset(data, trained.classes.names, views)
    groups = dataset.held_out_examples.groups
    with_logits = functools.partial(
        _with_logits,
        trained=trained,
        window_logits=ShardedPredictor(trained.window_logits),
        batch_size=batch_size,
    )
    batches = track(
        dataset.test_batches(),
        description="labelling pixels",
        total=sum(-(-len(group.indices) // batch_size) for group in groups),
        console=console,
    )
    evaluator = SegmentationEvaluator(
        trained.label_maps,
        dataset,
        classes=trained.classes,
        logits=trained.logits if views.window is None else None,
    )
    quality = evaluator.measure(trained.variables, with_logits(batches))
    output.mkdir(parents=True, exist_ok=True)
    results = {trained.name: quality.numbers}
    write_table(output / "quality.csv", results)
    names = trained.classes.names
    write_per_class(output / "per_class.csv", {trained.name: quality}, classes=names)
    write_evaluation_provenance(
        output, step=trained.step, data=data, views=dataclasses.asdict(views)
    )
    chosen = spread(len(dataset.held_out), options.sample_rows)
    # After the scores: it compiles further programs.
    with console.status("drawing label maps"):
        batches = dataset.test_batches(chosen=chosen)
        sheet = evaluator.sheet(trained.variables, with_logits(batches))
    Image.fromarray(sheet).save(output / "samples.png")
    photographs = counted(len(dataset.held_out), "test photograph")
    title = f"{photographs} of {name_of_source(data.source)}, step {trained.step}"
    console.print(draw_table(results, COLUMNS, title=title, label="network"))
    if quality.absent.any():
        print_line(console, _absent_classes(quality, names))
    print_line(console, f"Tables and pictures: {output}")


def _with_logits(
    batches: Iterable[Any],
    trained: TrainedSegmenter,
    *,
    window_logits: ShardedPredictor,
    batch_size: int,
) -> Iterable[Any]:
    """Return test batches, with the logits of their windows if there are any."""
    window = trained.views.window
    if window is None:
        return batches
    return with_window_logits(
        batches,
        functools.partial(window_logits, trained.variables),
        window=window,
        windows_at_once=batch_size,
        photographs_at_once=jax.local_device_count(),
    )


def _absent_classes(quality: SegmentationQuality, names: tuple[str, ...]) -> str:
    """Return a sentence about the classes without a pixel."""
    absent = [printable(names[place]) for place in np.flatnonzero(quality.absent)]
    more = f", ... ({len(absent)} classes)" if len(absent) > _SHOWN else ""
    shown = ", ".join(absent[:_SHOWN]) if more else listed(absent)
    return f"Absent from labels and predictions, with an IoU of 0: {shown}{more}."
