"""Classes of label maps, and the values that stand for them in files."""

import dataclasses
import pathlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from carafe_jax.data.decoding import UnreadableImageError
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.segmentation.treatments import VOID_CLASS
from carafe_jax.data.sources.segmented import IGNORED_LABEL
from carafe_jax.errors import RefusedError
from carafe_jax.texts import counted, printable

VOID_NAMES = frozenset(("void", "unlabelled", "unlabeled", "ignore", "ignored"))
"""Names, in lower case, of classes whose pixels are ignored."""
_SHOWN = 5  # Values in an error.
_MOST_CLASSES = 255  # The labels 0 to 254: 255 is `IGNORED_LABEL`.

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class ClassEntry:
    """A class as a list of classes has it."""

    value: int
    """Value of its pixels in the files, in [0, 255]."""
    name: str
    colour: Colour | None = None


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """Labels and names of the values in the label maps of a source."""

    names: tuple[str, ...]
    """Names of the classes, by label."""
    palette: UInt8[np.ndarray, "k 3"] | None
    """RGB colour of each class. None: they have no colours."""
    labels: UInt8[np.ndarray, "256"]
    """Label of each value; 255 for ignored ones."""
    known: Bool[np.ndarray, "256"]
    """Whether a value is a class or ignored."""

    def labels_of(
        self, values: UInt8[np.ndarray, "h w"], name: str
    ) -> UInt8[np.ndarray, "h w"]:
        """Return the labels of the values of a label map.

        Args:
          values: Values as the file has them.
          name: Name of the file, for the error.

        Raises:
          UnreadableImageError: A value is neither a class nor ignored.
        """
        known = self.known[values]
        if not known.all():
            unknown = np.unique(values[~known]).tolist()
            shown = ", ".join(map(str, unknown[:_SHOWN]))
            more = ", ..." if len(unknown) > _SHOWN else ""
            raise UnreadableImageError(
                f"its values must be classes or ignored, got {shown}{more}", name
            )
        return self.labels[values]


def make_label_table(
    entries: Sequence[ClassEntry],
    *,
    origin: str,
    ignored_labels: Collection[int],
    classes: Sequence[str] | None,
    findings: Findings,
) -> LabelTable:
    """Return the table of the classes of a source, without the void ones.

    A class is void if its name is one of `VOID_NAMES`, in any case, or if its value is
    in `ignored_labels`. The value 255 is ignored unless an entry has it.

    Args:
      entries: The classes, void ones included.
      origin: Printable name of the file or data set that they are from, for errors.
      ignored_labels: Further values in the files that are ignored.
      classes: Classes of training, whose labels these get by name. None: the labels are
        0, 1, ... in ascending order of the values.
      findings: Void classes are added.

    Raises:
      RefusedError: Two entries have one value or one name, none or over 255 are not
        void, some alone have colours, or `classes` lacks one of them.
    """
    entries = sorted(entries, key=lambda entry: entry.value)
    _check_distinct([entry.value for entry in entries], "index", origin)
    void = [entry for entry in entries if _is_void(entry, ignored_labels)]
    findings.add(
        VOID_CLASS,
        [f"{printable(entry.name)} ({entry.value})" for entry in void],
        count=len(void),
    )
    used = [entry for entry in entries if entry not in void]
    _check_distinct([entry.name for entry in used], "name", origin)
    if not 1 <= len(used) <= _MOST_CLASSES:
        raise RefusedError(
            f"{origin} must have 1 to {_MOST_CLASSES} classes that are not void, got "
            f"{len(used)}."
        )
    names = tuple(entry.name for entry in used) if classes is None else tuple(classes)
    lacking = [entry.name for entry in used if entry.name not in names]
    if lacking:
        raise RefusedError(
            f"`source` must have no class that training lacks, got {lacking[0]!r} in "
            f"{origin} ({counted(len(lacking), 'such class', 'such classes')})."
        )
    labels = np.full(256, IGNORED_LABEL, np.uint8)
    for entry in used:
        labels[entry.value] = names.index(entry.name)
    known = np.zeros(256, bool)
    ignored = {IGNORED_LABEL, *ignored_labels}
    known[[*ignored, *(entry.value for entry in entries)]] = True
    return LabelTable(names, _palette(used, names, origin), labels, known)


def read_classes_file(path: pathlib.Path) -> list[ClassEntry]:
    """Read a list of classes, such as CamVid's.

    A line has the value in the label maps, the name, which may have spaces, and in all
    lines or in none the colour as three numbers: "3 Road 128 64 128". Empty lines and
    those that begin with "#" are skipped.

    Args:
      path: Text file in UTF-8.

    Raises:
      RefusedError: The file cannot be read, or a line has not this form.
    """
    return [_entry(line, place) for line, place in lines_of(path)]


def lines_of(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text file that are not empty, each with its place.

    Raises:
      RefusedError: The file cannot be read, or is not in UTF-8.
    """
    shown = repr(printable(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RefusedError(f"{shown} must be a file: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{shown} must be a text in UTF-8, got the byte "
            f"{error.object[error.start]:#04x} at {error.start}."
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line, f"{shown}, line {number}"


def value_of(text: str, place: str) -> int:
    """Return the index of a class.

    Args:
      text: The number.
      place: File and line, for the error.

    Raises:
      RefusedError: It is no integer in [0, 255].
    """
    value = _number(text)
    if value is None:
        raise RefusedError(
            f"{place} must begin with an index in [0, 255], got "
            f"{printable(text)[:80]!r}."
        )
    return value


def _entry(line: str, place: str) -> ClassEntry:
    first, *words = line.split()
    value = value_of(first, place)
    numbers = [_integer(word) for word in words[-3:]]
    colour: Colour | None = None
    if len(words) > 3 and None not in numbers:
        red, green, blue = (_number(word) for word in words[-3:])
        if red is None or green is None or blue is None:
            raise RefusedError(
                f"{place} must end in a colour of three numbers in [0, 255], got "
                f"{words[-3:]}."
            )
        colour, words = (red, green, blue), words[:-3]
    if not words:
        raise RefusedError(
            f"{place} must have an index, a name and a colour, got "
            f"{printable(line.strip())[:80]!r}."
        )
    return ClassEntry(value, " ".join(words), colour)


def _integer(text: str) -> int | None:
    # `int` also reads "1_0" and digits of other alphabets.
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(text)
    return None


def _number(text: str) -> int | None:
    """Return a number in [0, 255], or None."""
    number = _integer(text)
    return number if number is not None and 0 <= number <= 255 else None


def _is_void(entry: ClassEntry, ignored_labels: Collection[int]) -> bool:
    return entry.name.lower() in VOID_NAMES or entry.value in ignored_labels


def _check_distinct(values: Sequence[object], noun: str, origin: str) -> None:
    repeated = [value for value in values if values.count(value) > 1]
    if repeated:
        raise RefusedError(
            f"{origin} must have each {noun} of a class once, got {repeated[0]!r} "
            f"{values.count(repeated[0])} times."
        )


def _palette(
    entries: Sequence[ClassEntry], names: Sequence[str], origin: str
) -> UInt8[np.ndarray, "k 3"] | None:
    colours = {e.name: e.colour for e in entries if e.colour is not None}
    if not colours:
        return None
    for entry in entries:
        if entry.name not in colours:
            raise RefusedError(
                f"{origin} must have colours for all classes or for none, got "
                f"{printable(entry.name)!r} without."
            )
    if len(colours) < len(names):
        return None
    return np.array([colours[name] for name in names], np.uint8)
