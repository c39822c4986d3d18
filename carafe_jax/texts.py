"""Names, counts and percentages as users read them, each written in one way."""

import unicodedata

# Control characters, halves of pairs of UTF-16, and ends of lines and paragraphs.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}

# Python holds a byte that is no UTF-8 as one of the last 128 of these.
_BYTES_FROM = 0xDC00


def printable(name: object) -> str:
    r"""Return a name that can be shown in one line and written to any UTF-8 file.

    Control characters, and bytes of a file's name that are not UTF-8, become escapes
    as in a Python string: `caf\xe9.png`. Everything else stays as it is.

    Args:
      name: A string or a path.
    """
    return "".join(map(_shown, str(name)))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 seed", "2 seeds", "2,000 images".

    Args:
      count: How many.
      noun: In the singular.
      plural: By default the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def percent(fraction: float, *, digits: int = 0) -> str:
    """Return a fraction in percent: 0.763 with one digit is "76.3 %".

    Nothing and the whole are shown as they are, and nothing else as these: 0.997
    without digits is "over 99 %", 0.002 is "under 1 %".

    Args:
      fraction: 1 is the whole.
      digits: After the decimal point.
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
