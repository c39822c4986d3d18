"""The collectives between the devices of a compiled program."""

import dataclasses
import math
import re

_KINDS = "all-reduce|reduce-scatter|all-gather|all-to-all|collective-permute"
_LINE = re.compile(rf"= (.*?) ({_KINDS})(-start)?\(")
_ARRAY = re.compile(r"\b(pred|bf16|[fsu]\d+)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective: the elements of each of its results, and the bytes of all."""

    kind: str
    elements: tuple[int, ...]
    bytes: int


def collectives_of(program: str) -> list[Collective]:
    """Return the collectives in the text of a compiled program (HLO)."""
    found = []
    for types, kind, started in _LINE.findall(program):
        arrays = [
            (math.prod(map(int, filter(None, sizes.split(",")))), _bytes_of(dtype))
            for dtype, sizes in _ARRAY.findall(types)
        ]
        if started and kind != "all-reduce":
            # The start of an asynchronous collective returns its operands, too.
            arrays = arrays[len(arrays) // 2 :]
        elements = tuple(size for size, _ in arrays)
        found.append(Collective(kind, elements, sum(n * each for n, each in arrays)))
    return found


def _bytes_of(dtype: str) -> int:
    if dtype == "pred":
        return 1
    bits = int(re.sub(r"\D", "", dtype))
    return max(1, bits // 8)
