"""Measures a trained classifier over a test set."""

import dataclasses
import pathlib

from rich.console import Console
from rich.progress import track

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.data import describe_source, evaluation_batches
from carafe_jax.tasks.classification.evaluator import ClassifierEvaluator
from carafe_jax.tasks.classification.prediction import TrainedClassifier
from carafe_jax.tasks.classification.report import COLUMNS
from carafe_jax.tasks.tables import draw_table, write_table


def evaluate(
    trained: TrainedClassifier,
    *,
    source: str | None,
    batch_size: int,
    output: pathlib.Path,
    console: Console,
) -> int:
    """Classify every test image; print the table and write quality.csv.

    Args:
      trained: The network.
      source: Where labelled images come from; None: those of the run.
      batch_size: Images at a time.
      output: Folder of quality.csv.
      console: Where bar and table are drawn.

    Returns:
      The exit status, 0.

    Raises:
      RefusedError: The source has other classes than the run.
    """
    data = dataclasses.replace(
        trained.data, source=source or trained.data.source, batch_size=batch_size
    )
    described = describe_source(data)
    if described.classes != trained.classes:
        raise RefusedError(
            f"`source` must have the {len(trained.classes)} classes of the run, "
            f"{_some(trained.classes)}, got {len(described.classes)}: "
            f"{_some(described.classes)}."
        )
    batches = track(
        evaluation_batches(data),
        description="classifying",
        total=-(-described.test_images // batch_size),
        console=console,
    )
    evaluator = ClassifierEvaluator(trained.logits_of, data)
    results = {trained.name: evaluator.measure(trained.variables, batches)}
    output.mkdir(parents=True, exist_ok=True)
    write_table(output / "quality.csv", results)
    title = f"{described.test_images} test images of {data.source}, step {trained.step}"
    console.print(draw_table(results, COLUMNS, title=title, label="network"))
    return 0


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
