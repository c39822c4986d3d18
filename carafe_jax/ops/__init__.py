"""The operator: arrays in, arrays out."""

from carafe_jax.ops.reassembly import Implementation as Implementation
from carafe_jax.ops.reassembly import Scale as Scale
from carafe_jax.ops.reassembly import parse_scale as parse_scale
from carafe_jax.ops.reassembly import reassemble as reassemble
