"""Uniform formatting of names, counts and percentages for users."""

import unicodedata
from collections.abc import Sequence

# Control characters, surrogates, and line and paragraph separators.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}

# Python decodes a byte b that is not UTF-8 as the surrogate 0xDC00 + b.
_BYTES_FROM = 0xDC00


def printable(name: object) -> str:
    r"""Return a name escaped so that it fits on one line and encodes as UTF-8.

    Control characters, and bytes of a file name that are not UTF-8, are escaped as in
    a Python string: `caf\xe9.png`. All other characters are kept.

    Args:
      name: A string or a path.
    """
    return "".join(map(_shown, str(name)))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 seed", "2 seeds", "2,000 images".

    Args:
      count: Number to show.
      noun: Singular noun.
      plural: Plural noun (default: `noun` with an s).
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: "a", "a and b", "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def percent(fraction: float, *, digits: int = 0) -> str:
    """Return a fraction in percent: 0.763 with one digit is "76.3 %".

    Only exact fractions are shown as 0 % and 100 %: without digits, 0.997 is "over
    99 %" and 0.002 is "under 1 %".

    Args:
      fraction: Fraction to show; 1 is 100 %.
      digits: Digits after the decimal point.
    """
    step = 10.0**-digits
    text = f"{100 * fraction:.{digits}f}"
    if fraction > 0 and float(text) == 0:
        return f"under {step:.{digits}f} %"
    if fraction < 1 and float(text) == 100:
        return f"over {100 - step:.{digits}f} %"
    return f"{text} %"


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    if 0x80 <= (byte := ord(character) - _BYTES_FROM) <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode("ascii")
