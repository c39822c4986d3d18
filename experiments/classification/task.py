"""Classification as a task to train: loss, data, evaluation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, Num, UInt8

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD, ColourJitter
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.data import (
    ClassificationBatch,
    ClassificationData,
    Source,
    describe_source,
    test_batches,
    training_batches,
)
from carafe_jax.train import (
    Aside,
    Batches,
    TrainState,
    Variables,
    make_mesh,
    put_batch,
)
from experiments.classification.network import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """Cross-entropy."""

    label_smoothing: float = 0.0
    """Part of the probability that is shared among all classes, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise RefusedError(
                f"`label_smoothing` must lie in [0, 1), got {self.label_smoothing}."
            )


class ClassificationTask:
    """Train a ResNet to tell classes."""

    best = "top1"

    def __init__(
        self,
        model: Model,
        loss: Loss,
        data: ClassificationData,
        source: Source | None = None,
        jitter: ColourJitter | None = None,
    ) -> None:
        """Look up what `data` holds, if no `source` says it; no image is opened yet."""
        self.source = describe_source(data) if source is None else source
        self.network = model.make(len(self.source.classes))
        self._loss = loss
        self._jitter = jitter or ColourJitter()
        self._data = data
        self._dtype = model.dtype
        self._count = jax.jit(self._counted)

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters and running statistics."""
        size = self._data.image_size
        return dict(self.network.init(key, jnp.zeros((1, size, size, 3))))

    def loss(
        self, variables: Variables, batch: ClassificationBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Aside]:
        """Average the cross-entropy over the images."""
        logits: Any
        image = normalize(self._jitter(key, batch["image"])).astype(self._dtype)
        logits, updated = self.network.apply(
            variables, image, train=True, mutable=["batch_stats"]
        )
        labels = jax.nn.one_hot(batch["label"], len(self.source.classes))
        labels = optax.smooth_labels(labels, self._loss.label_smoothing)
        loss = optax.softmax_cross_entropy(logits, labels).mean()
        right = logits.argmax(-1) == batch["label"]
        return loss, Aside({"top1": right.mean()}, dict(updated))

    def batches(self) -> Batches:
        """Start the training batches of this process."""
        return training_batches(
            self._data,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Measure accuracy and loss over the whole test set."""
        mesh, totals = make_mesh(), {}
        devices = jax.device_count()
        batches = test_batches(
            self._data,
            batch_size=-(-self._data.batch_size // devices) * devices,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        for batch in batches:
            counted = self._count(state.best_variables, put_batch(batch, mesh=mesh))
            totals = {name: totals.get(name, 0) + counted[name] for name in counted}
        return mean_of_counts(totals)

    def logits(
        self, variables: Variables, image: UInt8[Array, "n h w 3"]
    ) -> Float[Array, "n k"]:
        """Classify images, RGB in [0, 255]."""
        logits: Any = self.network.apply(
            variables, normalize(image).astype(self._dtype)
        )
        return logits

    def _counted(
        self, variables: Variables, batch: dict[str, Any]
    ) -> dict[str, Float[Array, ""]]:
        return count_correct(self.logits(variables, batch["image"]), batch)


def count_correct(
    logits: Float[Array, "n k"], batch: dict[str, Any]
) -> dict[str, Float[Array, ""]]:
    """Sum what is measured over the images of a test batch that are valid."""
    label, valid = batch["label"], batch["valid"]
    of_label = jnp.take_along_axis(logits, label[:, None], axis=-1)
    # Ties count against the network, or a constant one would always be right.
    above = (logits >= of_label).sum(-1) - 1
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return {
        "images": valid.sum(dtype=jnp.float32),
        "top1": ((above < 1) & valid).sum(dtype=jnp.float32),
        "top5": ((above < 5) & valid).sum(dtype=jnp.float32),
        "loss": jnp.where(valid, loss, 0).sum(),
    }


def mean_of_counts(counts: dict[str, Any]) -> dict[str, float]:
    """Divide sums of `count_correct` by the images."""
    images = float(counts["images"])
    return {
        name: float(value) / images
        for name, value in counts.items()
        if name != "images"
    }


def normalize(image: Num[Array | np.ndarray, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Bring RGB in [0, 255] to the mean and deviation of ImageNet, in float32."""
    mean, std = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_STD)
    return (jnp.asarray(image, jnp.float32) - mean) / std
