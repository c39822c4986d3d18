"""Training: configuration, optimisers, mesh, step, loop, checkpoints, command line."""

from carafe_jax.train.checkpoints import Checkpoints as Checkpoints
from carafe_jax.train.checkpoints import Which as Which
from carafe_jax.train.checkpoints import restore_trained as restore_trained
from carafe_jax.train.cli import run as run
from carafe_jax.train.config import Loop as Loop
from carafe_jax.train.config import check_config as check_config
from carafe_jax.train.config import restore_part as restore_part
from carafe_jax.train.loop import NotFiniteError as NotFiniteError
from carafe_jax.train.loop import Outcome as Outcome
from carafe_jax.train.loop import train as train
from carafe_jax.train.mesh import make_mesh as make_mesh
from carafe_jax.train.mesh import put_batch as put_batch
from carafe_jax.train.optimizers import SGD as SGD
from carafe_jax.train.optimizers import Optimization as Optimization
from carafe_jax.train.optimizers import Optimizer as Optimizer
from carafe_jax.train.processes import is_first as is_first
from carafe_jax.train.processes import join_processes as join_processes
from carafe_jax.train.state import TrainState as TrainState
from carafe_jax.train.task import Aside as Aside
from carafe_jax.train.task import Batches as Batches
from carafe_jax.train.task import Draws as Draws
from carafe_jax.train.task import Scalars as Scalars
from carafe_jax.train.task import Task as Task
from carafe_jax.train.task import Variables as Variables
