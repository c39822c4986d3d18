"""The collectives between the devices of a compiled program."""

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any

import jax

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


def gathered_activations(found: Iterable[Collective], state: Any) -> list[Collective]:
    """Return the collectives that gather arrays other than those of the state."""
    of_state = {x.size for x in jax.tree.leaves(state)}
    return [
        one
        for one in found
        if one.kind in ("all-gather", "all-to-all")
        and not all(size in of_state for size in one.elements)
    ]


def reduces_gradients(one: Collective, params: Any) -> bool:
    """Return whether a collective sums gradients and scalars alone, over devices."""
    return one.kind == "all-reduce" and not other_elements(one, params)


def other_elements(one: Collective, params: Any) -> list[int]:
    """Return the elements of each result that is no parameter's gradient or scalar."""
    sizes = {1, *(x.size for x in jax.tree.leaves(params))}
    return [size for size in one.elements if size not in sizes]


def bytes_of(found: Iterable[Collective], *kinds: str) -> int:
    """Return the bytes of the results of all collectives of some kinds."""
    return sum(one.bytes for one in found if one.kind in kinds)


def _bytes_of(dtype: str) -> int:
    if dtype == "pred":
        return 1
    bits = int(re.sub(r"\D", "", dtype))
    return max(1, bits // 8)
