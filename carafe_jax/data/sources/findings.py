"""Findings about annotations: what was dropped, mended or kept as it is, and why."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import Literal

from carafe_jax.texts import counted

Treatment = Literal["dropped", "mended", "kept"]

EXAMPLES = 3
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Reason:
    """A kind of finding, with its one treatment."""

    treatment: Treatment
    noun: str
    """Name of what is found, such as "box"."""
    rule: str
    """Description, to be read after the plural of the noun: "without area"."""
    plural: str | None = None
    """Plural of the noun (default: the noun with an s)."""
    remedy: str = ""
    """For what is mended or kept: its use, such as "the box of its mask is used"."""

    def text(self, count: int) -> str:
        """Return a count with the description: "2 boxes without area"."""
        text = f"{counted(count, self.noun, self.plural)} {self.rule}"
        return f"{text}: {self.remedy}" if self.remedy else text


@dataclasses.dataclass
class Finding:
    """How often something was found, and where first."""

    reason: Reason
    count: int
    examples: tuple[str, ...]
    """Names of the first examples: file names and ids."""

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.reason.text(self.count)} ({', '.join(self.examples)}{more})"


@dataclasses.dataclass
class Findings:
    """Findings of one split, in the order in which they were made."""

    found: dict[Reason, Finding] = dataclasses.field(default_factory=dict)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found.values())

    def __len__(self) -> int:
        return len(self.found)

    def add(self, reason: Reason, examples: Sequence[str], *, count: int = 1) -> None:
        """Add to the count of a reason.

        Args:
          reason: What was found.
          examples: Names of the first of these, as many as are kept.
          count: Number to add; 0 adds nothing.
        """
        if not count:
            return
        finding = self.found.setdefault(reason, Finding(reason, 0, ()))
        finding.count += count
        finding.examples = (*finding.examples, *examples)[:EXAMPLES]

    def of(self, treatment: Treatment) -> list[Finding]:
        """Return the findings with a treatment."""
        return [finding for finding in self if finding.reason.treatment == treatment]

    def by_treatment(self) -> list[Finding]:
        """Return the findings in the order dropped, mended, kept."""
        return [finding for treatment in _LEVELS for finding in self.of(treatment)]

    def log(self, name: str) -> None:
        """Log a line for each treatment: a warning for what was dropped.

        Args:
          name: File or data set that the findings are about.
        """
        for treatment, level in _LEVELS.items():
            if found := self.of(treatment):
                texts = "; ".join(map(str, found))
                _LOGGER.log(level, "%s in %s: %s.", treatment.title(), name, texts)


@contextlib.contextmanager
def unlogged_findings() -> Iterator[None]:
    """Log no findings within the block, for callers that report them themselves."""
    level = _LOGGER.level
    _LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _LOGGER.setLevel(level)


_LEVELS: dict[Treatment, int] = {
    "dropped": logging.WARNING,
    "mended": logging.INFO,
    "kept": logging.INFO,
}
