"""Training: configuration, optimizers, mesh, step, loop, evaluators, checkpoints."""

from carafe_jax.train.checkpoints import CheckpointChoice as CheckpointChoice
from carafe_jax.train.checkpoints import Checkpoints as Checkpoints
from carafe_jax.train.checkpoints import restore_trained as restore_trained
from carafe_jax.train.evaluators import DeviceFunction as DeviceFunction
from carafe_jax.train.evaluators import ShardedPredictor as ShardedPredictor
from carafe_jax.train.evaluators import mean_over_examples as mean_over_examples
from carafe_jax.train.fields import growable_field as growable_field
from carafe_jax.train.fields import restore as restore
from carafe_jax.train.fields import unstored_field as unstored_field
from carafe_jax.train.log import NotFiniteError as NotFiniteError
from carafe_jax.train.loop import Outcome as Outcome
from carafe_jax.train.loop import train as train
from carafe_jax.train.loop_config import Loop as Loop
from carafe_jax.train.mesh import make_mesh as make_mesh
from carafe_jax.train.mesh import put_batch as put_batch
from carafe_jax.train.optimizers import SGD as SGD
from carafe_jax.train.optimizers import Adam as Adam
from carafe_jax.train.optimizers import Optimizer as Optimizer
from carafe_jax.train.optimizers import SupportsFreezing as SupportsFreezing
from carafe_jax.train.optimizers import joint_learning_rates as joint_learning_rates
from carafe_jax.train.parameter_groups import freeze_parameters as freeze_parameters
from carafe_jax.train.parameter_groups import (
    partition_parameters as partition_parameters,
)
from carafe_jax.train.processes import is_first as is_first
from carafe_jax.train.processes import join_processes as join_processes
from carafe_jax.train.provenance import read_provenance as read_provenance
from carafe_jax.train.start import StartReport as StartReport
from carafe_jax.train.start import load_weights as load_weights
from carafe_jax.train.state import TrainState as TrainState
from carafe_jax.train.stored_config import StoredConfig as StoredConfig
from carafe_jax.train.stored_config import check_config as check_config
from carafe_jax.train.stored_config import has_checkpoints as has_checkpoints
from carafe_jax.train.stored_config import read_config as read_config
from carafe_jax.train.task import Auxiliary as Auxiliary
from carafe_jax.train.task import Batches as Batches
from carafe_jax.train.task import Evaluator as Evaluator
from carafe_jax.train.task import Scalars as Scalars
from carafe_jax.train.task import SupportsPictures as SupportsPictures
from carafe_jax.train.task import Task as Task
from carafe_jax.train.task import Variables as Variables
from carafe_jax.train.workdir import hold_workdir as hold_workdir

__all__ = [
    "SGD",
    "Adam",
    "Auxiliary",
    "Batches",
    "CheckpointChoice",
    "Checkpoints",
    "DeviceFunction",
    "Evaluator",
    "Loop",
    "NotFiniteError",
    "Optimizer",
    "Outcome",
    "Scalars",
    "ShardedPredictor",
    "StartReport",
    "StoredConfig",
    "SupportsFreezing",
    "SupportsPictures",
    "Task",
    "TrainState",
    "Variables",
    "check_config",
    "freeze_parameters",
    "growable_field",
    "has_checkpoints",
    "hold_workdir",
    "is_first",
    "join_processes",
    "joint_learning_rates",
    "load_weights",
    "make_mesh",
    "mean_over_examples",
    "partition_parameters",
    "put_batch",
    "read_config",
    "read_provenance",
    "restore",
    "restore_trained",
    "train",
    "unstored_field",
]
