"""Quality of predicted classes: metrics, and their columns in tables."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from carafe_jax.tasks.tables import Column

COLUMNS = {
    "top1": Column("top-1", 2, percent=True),
    "top5": Column("top-5", 2, percent=True),
    "loss": Column("loss", 4),
}


def measure_each(
    logits: Float[Array, "n k"], label: Int[Array, "n"]
) -> dict[str, Float[Array, "n"]]:
    """Return top-1 and top-5 accuracy, each 0 or 1, and the loss of each image.

    With five classes or fewer there is no top-5, as it would be 1 for every image.
    """
    of_label = jnp.take_along_axis(logits, label[:, None], axis=-1)
    # Ties count against the network, or a constant one would always be right.
    above = (logits >= of_label).sum(-1) - 1
    ranks = {"top1": 1, "top5": 5} if logits.shape[-1] > 5 else {"top1": 1}
    return {
        **{name: (above < rank).astype(jnp.float32) for name, rank in ranks.items()},
        "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
    }
