"""Evaluation of a trained classifier on a test set."""

import pathlib

from rich.console import Console
from rich.progress import track

from carafe_jax.data.sources.opening import name_of_source
from carafe_jax.tasks.classification.data import ClassificationDataset
from carafe_jax.tasks.classification.evaluation_options import (
    EvaluationOptions as EvaluationOptions,
)
from carafe_jax.tasks.classification.evaluator import ClassifierEvaluator
from carafe_jax.tasks.classification.loading import load
from carafe_jax.tasks.classification.logits import logits_of
from carafe_jax.tasks.classification.quality import COLUMNS
from carafe_jax.tasks.data_fields import evaluated_data
from carafe_jax.tasks.evaluation_provenance import write_evaluation_provenance
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.run_classes import check_same_classes
from carafe_jax.tasks.tables import draw_table, write_table
from carafe_jax.texts import counted
from carafe_jax.train import CheckpointChoice


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
    """Classify every test image; print and write the results.

    Args:
      model: Folder of the run that trained the network.
      which: Checkpoint of the run: the best or the last.
      source: Source of the labelled images. None: that of the run.
      batch_size: Images per batch.
      output: Folder for quality.csv and provenance.json.
      options: Test set.
      console: Console for the progress bar and the table.

    Raises:
      RefusedError: The folder holds no such checkpoint, or the source has other classes
        than the run.
    """
    with loading(console, model):
        trained = load(model, which=which)
    data = evaluated_data(
        trained.data,
        source=source,
        test_split=options.test_split,
        batch_size=batch_size,
    )
    dataset = ClassificationDataset(data)
    images = dataset.held_out.images
    check_same_classes("source", images.classes, trained.classes)
    batches = track(
        dataset.evaluation_batches(),
        description="classifying",
        total=-(-len(images) // batch_size),
        console=console,
    )
    logits = logits_of(trained.network, dtype=trained.dtype)
    evaluator = ClassifierEvaluator(logits, dataset)
    results = {trained.name: evaluator.measure(trained.variables, batches)}
    write_table(output / "quality.csv", results)
    write_evaluation_provenance(output, step=trained.step, data=data)
    counted_images = counted(len(images), "test image")
    title = f"{counted_images} of {name_of_source(data.source)}, step {trained.step}"
    console.print(draw_table(results, COLUMNS, title=title, label="network"))
    print_line(console, f"Table: {output / 'quality.csv'}")
