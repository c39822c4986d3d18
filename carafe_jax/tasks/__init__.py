"""Tasks, one package each, and their shared code."""

from carafe_jax.tasks import classification as classification
from carafe_jax.tasks import detection as detection
from carafe_jax.tasks import inpainting as inpainting
from carafe_jax.tasks import segmentation as segmentation
from carafe_jax.tasks.registry import TASKS as TASKS
from carafe_jax.tasks.run import train_and_report as train_and_report
from carafe_jax.tasks.run_config import RunConfig as RunConfig
from carafe_jax.tasks.run_config import Start as Start

__all__ = [
    "TASKS",
    "RunConfig",
    "Start",
    "classification",
    "detection",
    "inpainting",
    "segmentation",
    "train_and_report",
]
