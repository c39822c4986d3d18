"""Length of a run, and intervals of logs, evaluations and checkpoints."""

import dataclasses

from carafe_jax.arguments import check_below_1, check_positive, check_seed
from carafe_jax.errors import RefusedError
from carafe_jax.train.fields import growable_field, unstored_field


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loop:
    """Length of a run, and how often it logs, evaluates and saves."""

    steps: int | None = growable_field(None)
    """Optimizer steps; None if the length is in epochs."""
    epochs: int | None = growable_field(None)
    """Passes over the training examples; None if the length is in steps."""
    log_every: int = unstored_field(10)
    """Steps between logs of scalars in the progress bar, the CSV and TensorBoard."""
    evaluate_every: int | None = None
    """Steps between evaluations, even if the length is in epochs. Each evaluation also
    saves a checkpoint. None: after each pass over the training examples. The last step
    is always evaluated."""
    save_every: int = unstored_field(250)
    """Steps between checkpoints without an evaluation."""
    seed: int = 0
    """Seed of the initial parameters and of the randomness in the steps."""
    accumulate: int = 1
    """Microbatches of a batch, for gradient accumulation. They run one after another,
    so that a device holds the activations of one microbatch alone. Each weighs as much
    as the examples, or pixels, that count in it. Batch norms see microbatches."""
    average_decay: float = 0.0
    """Decay of an exponential moving average of the parameters, which is evaluated in
    their place; 0 keeps no average."""
    fully_sharded: bool = unstored_field(False)
    """Shard the parameters and the optimizer's state over the devices, which gather
    the parameters in each step; otherwise each device holds all of them."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise RefusedError(
                "One of `steps` and `epochs` must be given, and the other None, got "
                f"{self.steps} steps and {self.epochs} epochs. To replace a length in "
                "epochs by one in steps, also pass `--loop.epochs None`."
            )
        for name in ("steps", "epochs", "evaluate_every"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        for name in ("log_every", "save_every", "accumulate"):
            check_positive(name, getattr(self, name))
        check_seed("seed", self.seed)
        check_below_1("average_decay", self.average_decay)

    @property
    def depends_on_epoch(self) -> bool:
        """Whether the length or the evaluations are counted in epochs."""
        return self.epochs is not None or self.evaluate_every is None

    def in_steps(self, steps_per_epoch: int) -> "Loop":
        """Return the same loop with its length and its evaluations counted in steps.

        Args:
          steps_per_epoch: Whole batches of one pass over the training examples; without
            effect unless the loop `depends_on_epoch`.

        Raises:
          RefusedError: An epoch has no whole batch.
        """
        if not self.depends_on_epoch:
            return self
        if steps_per_epoch < 1:
            raise RefusedError(
                "An epoch must hold at least one whole batch, got "
                f"{steps_per_epoch} of them. A loop whose length and `evaluate_every` "
                "are in steps does not depend on it."
            )
        return dataclasses.replace(
            self,
            steps=self.steps if self.epochs is None else self.epochs * steps_per_epoch,
            epochs=None,
            evaluate_every=self.evaluate_every or steps_per_epoch,
        )

    @property
    def total_steps(self) -> int:
        """Optimizer steps of a loop whose length is in steps.

        Raises:
          RefusedError: The length is in epochs.
        """
        if self.steps is None:
            raise RefusedError(
                "The length of the loop must be in steps (`Loop.in_steps`), got "
                f"{self.epochs} epochs."
            )
        return self.steps

    @property
    def steps_between_evaluations(self) -> int:
        """Steps between evaluations of a loop that does not depend on an epoch.

        Raises:
          RefusedError: They are counted in epochs.
        """
        if self.evaluate_every is None:
            raise RefusedError(
                "`evaluate_every` of the loop must be in steps (`Loop.in_steps`), got "
                "None, a pass over the training examples."
            )
        return self.evaluate_every
