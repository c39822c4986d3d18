"""A choice between SGD and AdamW, with the fields of each."""

import dataclasses
from typing import Literal

import optax

from carafe_jax.arguments import check_choices
from carafe_jax.errors import RefusedError
from carafe_jax.train import SGD, Adam

_REFERENCE_BATCH_SIZE = 16  # CARAFE++, section 5.1.


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerChoice:
    """Base of the optimizers of tasks whose recipe is SGD for 16 images."""

    method: Literal["sgd", "adam"] = "sgd"
    """SGD, the published recipe; or AdamW, for small networks that are trained from
    scratch."""
    sgd: SGD = SGD()
    """SGD; `learning_rate` is for 16 images per batch, and is scaled linearly with the
    batch size."""
    adam: Adam = Adam()
    """AdamW, with its `learning_rate` for any batch size."""

    def __post_init__(self) -> None:
        check_choices(self)
        for field in dataclasses.fields(self):
            if field.name in ("method", self.method):
                continue
            value = getattr(self, field.name)
            if value != field.default:
                names = [
                    f"`{field.name}.{inner.name}`"
                    for inner in dataclasses.fields(value)
                    if getattr(value, inner.name) != getattr(field.default, inner.name)
                ]
                raise RefusedError(
                    f"`method` must be {field.name!r} for {', '.join(names)} to have "
                    f"an effect, got {self.method!r}."
                )

    def scaled(self, *, batch_size: int, frozen: tuple[str, ...] = ()) -> SGD | Adam:
        """Return the optimizer of a run.

        Args:
          batch_size: Images per step.
          frozen: Patterns of parameters to freeze, beside its own.
        """
        if self.method == "adam":
            return dataclasses.replace(self.adam, frozen=(*self.adam.frozen, *frozen))
        rate = self.sgd.learning_rate * batch_size / _REFERENCE_BATCH_SIZE
        return dataclasses.replace(
            self.sgd, learning_rate=rate, frozen=(*self.sgd.frozen, *frozen)
        )

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation for a run of `steps`."""
        return self._chosen.transformation(steps)

    def learning_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Return the learning rates of a run of `steps`, by the names to log."""
        return self._chosen.learning_rates(steps)

    @property
    def _chosen(self) -> SGD | Adam:
        return self.adam if self.method == "adam" else self.sgd
