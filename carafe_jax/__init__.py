"""CARAFE++, content-aware reassembly of features, for JAX and Flax."""

from carafe_jax import interop as interop
from carafe_jax.nn.carafe import CARAFE as CARAFE
from carafe_jax.nn.carafe import CARAFEDownsample as CARAFEDownsample
from carafe_jax.nn.carafe import CARAFEUpsample as CARAFEUpsample
from carafe_jax.ops import batch_axes as batch_axes
from carafe_jax.ops import channel_axes as channel_axes
from carafe_jax.ops import reassemble as reassemble
from carafe_jax.ops import row_axes as row_axes
