"""Detect objects in photographs.

Shows: the number of objects. Each photograph is drawn with the boxes, masks, names and
scores of its objects; all of them are in detections.json, in COCO's form.
A run: carafe-jax detect photo.jpg folder/ --model runs/detection/default -o out/
A checkpoint of mmdetection: carafe-jax detect photo.jpg -o out/ --mmdetection FILE.pth
--config mask_rcnn_r50_fpn_carafe_1x_coco
"""

import dataclasses
import os
import pathlib
import time
from typing import Annotated, Literal, NoReturn

import numpy as np
import tyro
from jaxtyping import UInt8
from rich.console import Console

from carafe_jax.arguments import check_below_1, check_count
from carafe_jax.cli.console import run, with_option_names
from carafe_jax.cli.interruption import interrupted
from carafe_jax.cli.progress import tracked
from carafe_jax.data import UnreadableImageError, decode_photograph
from carafe_jax.errors import RefusedError
from carafe_jax.files import make_folder
from carafe_jax.models.detection import MMDetectionName
from carafe_jax.tasks.detection.coco_file import (
    CocoFile,
    Content,
    read_content,
    recorded_photographs,
)
from carafe_jax.tasks.detection.loading import load, load_mmdetection
from carafe_jax.tasks.detection.mask_encoding import DecodedMasks
from carafe_jax.tasks.detection.photograph_files import (
    RESULTS,
    DetectJob,
    DetectPlan,
    plan_detections,
)
from carafe_jax.tasks.detection.prediction import (
    PhotographDetections,
    TrainedDetector,
)
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.photograph_files import delete_outputs, with_path
from carafe_jax.tasks.pictures import (
    check_picture_size,
    readable_scale,
    write_picture,
)
from carafe_jax.texts import counted
from carafe_jax.train import CheckpointChoice
from carafe_jax.viz import draw_detections

_WRITE_EVERY = 60.0  # Seconds: what is lost if the process is killed.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detect:
    """Photographs, and a trained detector."""

    photographs: Annotated[
        tyro.conf.Positional[tuple[pathlib.Path, ...]],
        tyro.conf.arg(metavar="PHOTO [PHOTO ...]", help_behavior_hint="(required)"),
    ]
    """Image files, and folders, which are searched recursively."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """Folder to write pictures and detections.json to. Sub-folders are those of the
    photographs."""
    model: pathlib.Path | None = None
    """Folder of the run that trained the detector."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best by AP of the boxes, or the last."""
    mmdetection: pathlib.Path | None = None
    """Checkpoint of mmdetection, in place of `model`: .pth, .safetensors or .npz."""
    config: MMDetectionName | None = None
    """Configuration of mmdetection that trained the checkpoint."""
    classes: tuple[str, ...] = ()
    """Names of the checkpoint's classes, by label. Empty: those of COCO."""
    score_threshold: float = 0.3
    """Only objects of a higher score are drawn and written, in [0, 1)."""
    max_detections: int = 100
    """Largest number of objects in a photograph."""
    batch_size: int = 1
    """Photographs of one padded size per batch; more need memory, and pay on
    accelerators."""
    pictures: Literal["drawn", "none"] = "drawn"
    """Whether to write pictures, or detections.json alone."""
    overwrite: bool = False
    """Start anew: detections.json and all existing pictures of the photographs are
    deleted first. Otherwise photographs that are finished are skipped, unless their
    files have changed since, and detections by another detector or with other options
    are an error."""

    def __post_init__(self) -> None:
        check_below_1("score_threshold", self.score_threshold)
        check_count("max_detections", self.max_detections)
        check_count("batch_size", self.batch_size)
        if not self.photographs:
            raise RefusedError("`photographs` must name at least one file or folder.")
        if (self.model is None) == (self.mmdetection is None):
            given = "neither" if self.model is None else "both"
            raise RefusedError(
                "One of `model`, the folder of a run, and `mmdetection`, a checkpoint, "
                f"must be given, got {given}."
            )
        if (self.mmdetection is None) != (self.config is None):
            raise RefusedError(
                "`config` must be given with `mmdetection`, and with it alone, got "
                f"{self.config!r}."
            )
        if self.classes and self.mmdetection is None:
            raise RefusedError(
                "`classes` must be given with `mmdetection` alone, got "
                f"{self.classes!r}: a run has its own."
            )


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, Detect, doc=__doc__, program="carafe-jax detect", args=args)


def main(config: Detect, console: Console) -> int:
    """Detect in every photograph; list those that cannot be read or written."""
    results_file = config.output / RESULTS
    stored = _stored(config)
    plan = plan_detections(
        config.photographs,
        output=config.output,
        overwrite=config.overwrite,
        pictures=config.pictures == "drawn",
        recorded=None if stored is None else recorded_photographs(stored),
    )
    make_folder("output", config.output)
    detector = _load(config, console).with_limits(
        score_threshold=config.score_threshold, max_detections=config.max_detections
    )
    results = CocoFile(
        detector.categories,
        provenance=detector.provenance(),
        stored=None if config.overwrite else stored,
    )
    # First: recorded photographs whose pictures exist are taken for finished.
    delete_outputs(plan.replaced)
    for name in plan.outdated:
        results.remove(name)
    # From here on, the pictures of recorded photographs are those of this command.
    results.write(results_file)
    problems = dict(plan.problems)
    try:
        problems |= _detect_each(plan, detector, results, config, console)
    except BaseException as error:  # Also Ctrl-C: what was detected is kept.
        results.write(results_file)
        if isinstance(error, KeyboardInterrupt):
            print_line(console, _interrupted(config, plan, results))
        raise
    results.write(results_file)
    for path, reason in problems.items():
        line = f"Not detected: {with_path(path, reason)}"
        print_line(console, with_option_names(line, Detect))
    print_line(console, _summary(config, plan, results, detector, len(problems)))
    if results.photographs and not results.objects:
        print_line(
            console,
            f"No object has a score above {config.score_threshold} in any photograph: "
            "a lower --score-threshold detects more.",
        )
    return 1 if problems else 0


def _stored(config: Detect) -> Content | None:
    """Return the content of the results that exist; None: there are none of detect.

    Raises:
      RefusedError: A file of another program must not be overwritten.
    """
    try:
        return read_content(config.output / RESULTS)
    except (RefusedError, OSError):
        if config.overwrite:
            return None
        raise


def _summary(
    config: Detect,
    plan: DetectPlan,
    results: CocoFile,
    detector: TrainedDetector,
    problems: int,
) -> str:
    summary = (
        f"{counted(results.objects, 'object')} in "
        f"{counted(results.photographs, 'photograph')}, by {detector.name}. Written to "
        f"{config.output}"
    )
    if plan.skipped:
        summary += f"; skipped, as they were finished: {plan.skipped}"
    if problems:
        summary += f"; not detected: {problems}"
    if plan.inside_output:
        summary += f"; images in the output folder, left out: {plan.inside_output}"
    return summary


def _interrupted(config: Detect, plan: DetectPlan, results: CocoFile) -> str:
    total = len(plan.jobs) + plan.skipped
    finished = sum(
        results.has(job.name)
        and (config.pictures == "none" or os.path.isfile(job.picture))
        for job in plan.jobs
    )
    return interrupted(
        "Detected in",
        finished + plan.skipped,
        total,
        output=config.output,
        overwrite=config.overwrite,
    )


def _load(config: Detect, console: Console) -> TrainedDetector:
    if config.model is not None:
        with loading(console, config.model):
            return load(config.model, which=config.which)
    assert config.mmdetection is not None, "`Detect` raises without it."
    assert config.config is not None, "`Detect` raises without it."
    with loading(console, config.mmdetection):
        return load_mmdetection(
            config.mmdetection,
            config=config.config,
            classes=config.classes or None,
            argument="mmdetection",
        )


def _detect_each(
    plan: DetectPlan,
    detector: TrainedDetector,
    results: CocoFile,
    config: Detect,
    console: Console,
) -> dict[pathlib.Path, str]:
    """Collect the detections, and write pictures; return the reasons of failures."""
    failures: dict[pathlib.Path, str] = {}
    outcomes = detector.detect_all(
        (job.photograph for job in plan.jobs), batch_size=config.batch_size
    )
    written = time.monotonic()
    with tracked(outcomes, "detecting", total=len(plan.jobs), console=console) as each:
        for job, found in zip(plan.jobs, each, strict=True):
            if isinstance(found, UnreadableImageError):
                failures[job.photograph] = str(found)
                continue
            # Before its picture: only pictures of recorded photographs are complete.
            results.add(job.name, job.photograph, found, fingerprint=job.fingerprint)
            if config.pictures == "drawn":
                try:
                    _write_picture(job, found, classes=detector.classes)
                except RefusedError as error:
                    failures[job.photograph] = str(error)
            if time.monotonic() - written > _WRITE_EVERY:
                results.write(config.output / RESULTS)
                written = time.monotonic()
    return failures


def _write_picture(
    job: DetectJob, found: PhotographDetections, *, classes: tuple[str, ...]
) -> None:
    """Draw the detections on the photograph, and write it.

    Raises:
      UnreadableImageError: The photograph cannot be read any more.
      RefusedError: It is too large for a JPEG.
    """
    check_picture_size(found.size, kept=f"its objects are in {RESULTS}")
    photograph: UInt8[np.ndarray, "h w 3"] = decode_photograph(job.photograph)
    masks = found.encoded_masks
    picture = draw_detections(
        photograph,
        found.boxes,
        labels=found.names,
        scores=found.scores,
        masks=None if masks is None else DecodedMasks(masks),
        classes=classes,
        scale=readable_scale(found.size),
    )
    write_picture(job.picture, picture)
