"""Evaluation of a trained detector on a test set."""

import pathlib

from PIL import Image
from rich.console import Console
from rich.progress import track

from carafe_jax.data.sources.opening import name_of_source
from carafe_jax.models.detection import MaskRCNN
from carafe_jax.tasks.data_fields import evaluated_data
from carafe_jax.tasks.detection.data import DetectionDataset
from carafe_jax.tasks.detection.evaluation_options import (
    EvaluationOptions as EvaluationOptions,
)
from carafe_jax.tasks.detection.evaluator import DetectorEvaluator, some_results
from carafe_jax.tasks.detection.loading import load
from carafe_jax.tasks.detection.outputs import predictions_of
from carafe_jax.tasks.detection.quality import (
    COLUMNS,
    REGIONS,
    DetectionQuality,
    best_of_each,
    recall_limits,
    write_per_class,
)
from carafe_jax.tasks.detection.results import ResultsByImage, write_results
from carafe_jax.tasks.detection.samples import draw_samples
from carafe_jax.tasks.detection.trained_objects import check_test_objects
from carafe_jax.tasks.evaluation_provenance import write_evaluation_provenance
from carafe_jax.tasks.lines import loading, print_line
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
    """Detect the objects of every test photograph; print and write the results.

    Args:
      model: Folder of the run that trained the detector.
      which: Checkpoint of the run: the best or the last.
      source: Source of the annotated photographs. None: that of the run.
      batch_size: Photographs per batch.
      output: Folder for quality.csv, per_class.csv, detections_bbox.json,
        detections_segm.json, samples.png and provenance.json.
      options: Test set, numbers of detections, and pictures.
      console: Console for the progress bar and the table.

    Raises:
      RefusedError: The folder holds no such checkpoint, or the source has no objects,
        or objects of other classes than the run.
    """
    with loading(console, model):
        trained = load(model, which=which)
    assert trained.step is not None  # Runs have one.
    data = evaluated_data(
        trained.data,
        source=source,
        test_split=options.test_split,
        batch_size=batch_size,
    )
    masks = isinstance(trained.network, MaskRCNN)
    dataset = DetectionDataset(data, masks, trained.classes)
    check_test_objects(dataset.held_out)
    limits = options.max_detections or (trained.network.detections.count,)
    detector = trained.with_limits(
        score_threshold=trained.network.detections.score_threshold,
        max_detections=max(limits),
    )
    predict = predictions_of(detector.network, dtype=detector.dtype)
    buckets = dataset.held_out_examples.buckets
    batches = track(
        dataset.test_batches(),
        description="detecting",
        total=sum(-(-len(bucket.indices) // batch_size) for bucket in buckets),
        console=console,
    )
    evaluator = DetectorEvaluator(predict, dataset)
    results = evaluator.detect(trained.variables, batches)
    with console.status("computing average precision"):
        measured = {
            limit: evaluator.measure_results(
                best_of_each(results, limit), max_detections=recall_limits(limit)
            )
            for limit in limits
        }
    names = {
        limit: f"{trained.name}, at most {counted(limit, 'detection')}"
        if options.max_detections
        else trained.name
        for limit in limits
    }
    output.mkdir(parents=True, exist_ok=True)
    named = {names[limit]: quality for limit, quality in measured.items()}
    _write(output, named, results, dataset, options)
    write_evaluation_provenance(
        output,
        step=trained.step,
        data=data,
        max_detections=limits,
        score_threshold=options.score_threshold,
    )
    photographs = counted(len(results), "test photograph")
    title = f"{photographs} of {name_of_source(data.source)}, step {trained.step}"
    label = "network"
    if options.max_detections:
        # The name of the network is equal in all rows.
        title, label = f"{trained.name}: {title}", "detections"
        names = {limit: f"at most {limit}" for limit in limits}
    numbers = {names[limit]: quality.numbers for limit, quality in measured.items()}
    console.print(draw_table(numbers, COLUMNS, title=title, label=label))
    print_line(console, f"Tables, detections and pictures: {output}")


def _write(
    output: pathlib.Path,
    measured: dict[str, DetectionQuality],
    results: ResultsByImage,
    dataset: DetectionDataset,
    options: EvaluationOptions,
) -> None:
    numbers = {name: quality.numbers for name, quality in measured.items()}
    write_table(output / "quality.csv", numbers)
    write_per_class(output / "per_class.csv", measured)
    for region, kind in REGIONS.items():
        path = output / f"detections_{kind}.json"
        if region == "box" or dataset.masks:
            detections = (x for index in sorted(results) for x in results[index])
            write_results(path, detections, kind=kind)
        else:
            path.unlink(missing_ok=True)  # Of another detector.
    sheet = draw_samples(
        dataset.held_out,
        some_results(results, count=options.sample_rows),
        score_threshold=options.score_threshold,
    )
    Image.fromarray(sheet).save(output / "samples.png")
