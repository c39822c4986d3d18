"""The dumps of libtpu: the static schedule of VLIW bundles of each instruction.

A file `*-NAME-NN-final_bundles.txt` lists the bundles of one HLO instruction. Loops are
marked: `LB` starts a body, and each `>` is a loop around the bundle. A forward branch
skips the bundles up to the one marked `Start/End empty region` with its region.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_BUNDLE = re.compile(
    r"\s*(?:0x[0-9a-f]+|0)\s+(?P<tag>[A-Z]{2})?\s*:\s*(?P<loops>>*)\s*{"
)
# A predicate may precede the operands of an instruction.
_IF = r"(?:\(!?%\w+\), )?"
_EXIT = re.compile(
    rf"= scmp\.(?P<sign>\w\w)\.s32\.totalorder {_IF}(?P<counter>%\w+), "
    r"(?P<end>-?\d+) /\* loop exit test"
)
# The counter of a loop: `next = sadd step, phi`, `phi = sphi first, next`.
_NUMBER = re.compile(r"-?\d+")
_STEP = re.compile(rf"(%\w+) = sadd\.s32 {_IF}(\d+), (%\w+)")
_PHI = re.compile(rf"(%\w+) = sphi {_IF}(%\w+), %\w+")
_MOVE = re.compile(rf"(%\w+) = smov(?:\.u32)? {_IF}(%\w+|-?\d+)")
# A scalar may be spilled to memory meanwhile.
_STORE = re.compile(rf"= sst \[smem:\[(#allocation\d+_spill)\]\] {_IF}(%\w+)")
_LOAD = re.compile(rf"(%\w+) = sld {_IF}\[smem:\[(#allocation\d+_spill)\]\]")
_BRANCH = re.compile(
    r"sbr\.rel \((?P<negated>!?)(?P<predicate>%\w+)\) "
    r"target = \$region(?P<region>\d+)\b"
)
_REGION_END = re.compile(r"Start/End empty region (\d+)\b")
_STAGE = re.compile(r"iteration index, stage = (\d+)")
_SPILL = re.compile(r"vmem:\[(#allocation\d+_spill)")
_VREG = 8 * 128 * 4
# The mask that keeps the bfloat16 part of a float32 operand, for one of several passes.
_SPLIT = re.compile(r"vand\.u32 4294901760")
_VMEM = re.compile(r'"used_scoped_memory_configs":\[([^]]*)\]')


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuCode:
    """The compiled code of a program on a TPU.

    bundles: bundles of the kernel, each counted once.
    cycles: estimated cycles of the kernel on one core: bundles times the trip counts of
      the loops around them. Stalls on memory are left out, and so is the longer side of
      a two-sided branch, which a kernel takes if logits lie far apart. A loop without a
      constant end counts as one trip.
    unknown_loops: number of loops without a constant end.
    other_cycles: estimated cycles of XLA's other instructions.
    vmem, spilled: bytes of VMEM that are used, and to which registers are spilled.
    products: number of instructions of the matrix units.
    split: whether float32 operands are split into bfloat16 for several passes.
    """

    bundles: int
    cycles: int
    unknown_loops: int
    other_cycles: int
    vmem: int
    spilled: int
    products: int
    split: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """The static schedule of one HLO instruction."""

    bundles: int
    cycles: int
    unknown_loops: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scalars:
    """Definitions of the loop counters of a schedule."""

    steps: dict[str, tuple[int, str]]
    firsts: dict[str, str]
    copies: dict[str, str]

    @classmethod
    def of(cls, text: str) -> "_Scalars":
        stored: dict[str, set[str]] = {}
        for slot, scalar in _STORE.findall(text):
            stored.setdefault(slot, set()).add(scalar)
        loads = {
            scalar: next(iter(stored[slot]))
            for scalar, slot in _LOAD.findall(text)
            if len(stored.get(slot, ())) == 1
        }
        return cls(
            steps={new: (int(step), old) for new, step, old in _STEP.findall(text)},
            firsts=dict(_PHI.findall(text)),
            copies=loads | dict(_MOVE.findall(text)),
        )

    def trips(self, counter: str, end: int) -> int | None:
        """Return the trip count of a loop that ends when its counter reaches `end`."""
        step, phi = self.steps.get(counter, (0, ""))
        first = self._origin(self.firsts.get(self._origin(phi), ""))
        if not step or not _NUMBER.fullmatch(first):
            return None
        return max(1, -((int(first) - end) // step))

    def _origin(self, scalar: str) -> str:
        """Return the scalar or the number of which a scalar is a copy."""
        seen = set()
        while scalar in self.copies and scalar not in seen:
            seen.add(scalar)
            scalar = self.copies[scalar]
        return scalar


@dataclasses.dataclass(kw_only=True)
class _Loop:
    trips: int | None = None
    stages: int = 0

    def read(self, line: str, scalars: _Scalars) -> None:
        test = _EXIT.search(line)
        if test is not None and test["sign"] == "ge":
            self.trips = scalars.trips(test["counter"], int(test["end"]))
        # A software pipeline runs one more iteration for each stage but the first.
        stages = _STAGE.findall(line)
        self.stages = max([self.stages, *map(int, stages)])

    @property
    def iterations(self) -> int | None:
        return None if self.trips is None else max(1, self.trips - self.stages)


def read_schedule(lines: Sequence[str]) -> Schedule:
    """Count the bundles, and the cycles as far as trip counts are known."""
    scalars = _Scalars.of("\n".join(lines))
    around: list[_Loop] = []
    loops: list[_Loop] = []
    bundles: list[tuple[_Loop, ...]] = []
    texts: list[str] = []
    for line, tag, depth in _bundles(lines):
        del around[depth:]
        if tag == "LB":
            del around[depth - 1 :]
            around.append(_Loop())
            loops.append(around[-1])
        if around:
            around[-1].read(line, scalars)
        bundles.append(tuple(around))
        texts.append(line)
    cycles = [_product(loop.iterations or 1 for loop in inside) for inside in bundles]
    rare = sum(max(sum(cycles[side]) for side in sides) for sides in _branches(texts))
    return Schedule(
        bundles=len(bundles),
        cycles=sum(cycles) - rare,
        unknown_loops=sum(loop.iterations is None for loop in loops),
    )


def _bundles(lines: Iterable[str]) -> Iterator[tuple[str, str | None, int]]:
    """Yield each bundle with its tag and the number of loops around it."""
    found = [match for match in map(_BUNDLE.match, lines) if match is not None]
    depths = []
    # A bundle may have fewer marks than loops around it: an empty one, or one with an
    # instruction from outside a loop. But a bundle lies in the loops of the next one,
    # except in a loop that the next one starts.
    least = 0
    for match in reversed(found):
        depth = max(len(match["loops"]), least)
        depths.append(depth)
        least = depth - 1 if match["tag"] == "LB" else depth
    for match, depth in zip(found, reversed(depths), strict=True):
        yield match.string, match["tag"], depth


def _branches(texts: Sequence[str]) -> list[tuple[slice, slice]]:
    """Return both sides of each two-sided branch, as ranges of bundles.

    Each side is skipped by its own instruction: on a predicate, and on its negation.
    """
    ends = {
        region: index
        for index, text in enumerate(texts)
        for region in _REGION_END.findall(text)
    }
    first: dict[tuple[str, bool], slice] = {}
    found = []
    for index, text in enumerate(texts):
        for match in _BRANCH.finditer(text):
            end, negated = ends.get(match["region"], 0), bool(match["negated"])
            if end <= index:  # Back to the start of a loop.
                continue
            side = slice(index + 1, end)
            other = first.get((match["predicate"], not negated))
            if other is not None and other.stop <= index:
                found.append((other, side))
            first[match["predicate"], negated] = side
    return found


def _product(numbers: Iterable[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


def read_dumps(folder: Path, *, kernel: str, hlo: str) -> TpuCode:
    """Return the code of a kernel from the dumps of its compilation.

    Args:
      folder: Folder of the dumps.
      kernel: Name of the launch.
      hlo: Text of the compiled program.

    Raises:
      FileNotFoundError: The kernel is not in the dumps.
    """
    own: list[str] = []
    other_cycles = 0
    for path in sorted(folder.glob("*-final_bundles.txt")):
        name = path.name.split("-", 1)[1]
        # TLP is the program that calls the others, <late-...> the code around it.
        if name.startswith(("TLP-", "<")):
            continue
        lines = path.read_text().splitlines()
        if name.startswith(f"{kernel}."):
            own = lines
        else:
            other_cycles += read_schedule(lines).cycles
    if not own:
        raise FileNotFoundError(f"No bundles of `{kernel}` are in {folder}.")
    schedule, text = read_schedule(own), "\n".join(own)
    return TpuCode(
        bundles=schedule.bundles,
        cycles=schedule.cycles,
        unknown_loops=schedule.unknown_loops,
        other_cycles=other_cycles,
        vmem=read_vmem(hlo),
        spilled=_VREG * len(set(_SPILL.findall(text))),
        products=len(re.findall(r"= vmatmul|(?<=;;)\s+%\d+ = vmatmul", text)),
        split=_SPLIT.search(text) is not None,
    )


def read_vmem(hlo: str) -> int:
    """Return the largest VMEM of an instruction of the compiled program, in bytes."""
    sizes = [
        int(size)
        for found in _VMEM.findall(hlo)
        for size in re.findall(r'"memory_space":"1"[^}]*"size":"(\d+)"', found)
    ]
    return max(sizes, default=0)
