"""The programs of our networks."""

from typing import Any

import jax
import jax.numpy as jnp

from carafe_jax.losses import pixel_loss
from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.nn import resize_bilinear
from experiments.benchmarks.networks.segmenter_speed.inputs import Inputs
from experiments.benchmarks.networks.timed_programs import Calls

_STRIDE = 4  # Of the logits.


def programs_of(inputs: Inputs, config: SegmenterConfig) -> Calls:
    """Return the programs of our network of a configuration."""
    network = config.make(inputs.classes)
    images = jnp.asarray(inputs.images)
    labels = jnp.asarray(inputs.labels, jnp.int32)
    variables = dict(jax.jit(network.init)(jax.random.key(0), images))
    size = images.shape[1:3]

    def infer(variables: Any, images: jax.Array) -> jax.Array:
        logits: Any = network.apply(variables, images)
        return resize_bilinear(logits, size=size).argmax(-1)

    def loss(params: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, Any]:
        logits: Any
        logits, collections = network.apply(
            {**variables, "params": params}, images, True, mutable=["batch_stats"]
        )
        own = labels[:, ::_STRIDE, ::_STRIDE]
        return pixel_loss(logits, own, ignored=255).mean, collections

    train = jax.jit(jax.value_and_grad(loss, has_aux=True))
    predict = jax.jit(infer)
    params = variables["params"]
    return {
        "inference": lambda: jax.block_until_ready(predict(variables, images)),
        "training": lambda: jax.block_until_ready(train(params, images, labels)),
    }


def count_parameters(config: SegmenterConfig, *, classes: int) -> int:
    """Return the number of parameters of a network."""
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    made = jax.eval_shape(config.make(classes).init, jax.random.key(0), images)
    return sum(x.size for x in jax.tree.leaves(made["params"]))
