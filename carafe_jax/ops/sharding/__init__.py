"""Launches on a mesh: the axes that split them, and the launch on each shard."""

from carafe_jax.ops.sharding.array_types import like as like
from carafe_jax.ops.sharding.array_types import vary_alike as vary_alike
from carafe_jax.ops.sharding.array_types import varying_axes as varying_axes
from carafe_jax.ops.sharding.array_types import zeros as zeros
from carafe_jax.ops.sharding.axes import Axes as Axes
from carafe_jax.ops.sharding.axes import axes_in_force as axes_in_force
from carafe_jax.ops.sharding.axes import batch_axes as batch_axes
from carafe_jax.ops.sharding.axes import channel_axes as channel_axes
from carafe_jax.ops.sharding.axes import row_axes as row_axes
from carafe_jax.ops.sharding.layout import FEATURES as FEATURES
from carafe_jax.ops.sharding.layout import KERNELS as KERNELS
from carafe_jax.ops.sharding.layout import LOGITS as LOGITS
from carafe_jax.ops.sharding.layout import OUTPUT as OUTPUT
from carafe_jax.ops.sharding.layout import Layout as Layout
from carafe_jax.ops.sharding.layout import Operand as Operand
from carafe_jax.ops.sharding.mesh import device_kind as device_kind
from carafe_jax.ops.sharding.per_example import run_per_device as run_per_device
from carafe_jax.ops.sharding.shard import Partition as Partition
from carafe_jax.ops.sharding.shard import partition as partition
from carafe_jax.ops.sharding.shard import run_on_shards as run_on_shards
