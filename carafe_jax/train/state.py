"""Training state."""

from typing import Any

import jax
from flax.training import train_state
from jaxtyping import PyTree

from carafe_jax.errors import no_type_check


# Flax annotates fields of its own with types that plain dicts do not have.
@no_type_check
class TrainState(train_state.TrainState):
    """Flax's state with further variables, and an average of the parameters.

    Attributes:
      collections: Variables that are not parameters, by collection, such as the running
        statistics of batch norms; empty for many networks.
      average: Exponential moving average of the parameters; None if none is kept.
    """

    collections: dict[str, Any]
    average: PyTree[jax.Array] | None

    @property
    def variables(self) -> dict[str, Any]:
        """All variables, with the parameters themselves, not their average."""
        return {"params": self.params, **self.collections}

    @property
    def evaluation_variables(self) -> dict[str, Any]:
        """The variables to evaluate: with the average of the parameters, if kept."""
        params = self.params if self.average is None else self.average
        return {"params": params, **self.collections}
