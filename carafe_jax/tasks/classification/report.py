"""What classification runs show: the columns of their tables."""

from carafe_jax.tasks.tables import Column

COLUMNS = {
    "top1": Column("top-1", 2, percent=True),
    "top5": Column("top-5", 2, percent=True),
    "loss": Column("loss", 4),
}
