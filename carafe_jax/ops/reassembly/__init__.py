"""The reassembly operator of CARAFE++, and the normalisation of its kernels."""

from carafe_jax.ops.reassembly.api import kernels_of_logits as kernels_of_logits
from carafe_jax.ops.reassembly.api import reassemble as reassemble
from carafe_jax.ops.reassembly.api import reassemble_logits as reassemble_logits
from carafe_jax.ops.reassembly.arguments import Normalizer as Normalizer
from carafe_jax.ops.reassembly.arguments import Scale as Scale
from carafe_jax.ops.reassembly.arguments import parse_scale as parse_scale
