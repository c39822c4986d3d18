"""The dumps of XLA and Mosaic GPU: PTX, and its compilation by `ptxas`."""

import dataclasses
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

_ENTRY = re.compile(r"^\.visible \.entry (\w+)|^\.entry (\w+)", re.MULTILINE)
_ARCH = re.compile(r"^\.target (sm_\w+)", re.MULTILINE)
_PRODUCT = re.compile(r"\b(?:wgmma\.mma_async|mma)\.sync\.[\w.:]+")
_FUNCTION = re.compile(r"Compiling entry function '(\w+)'")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_STATIC = re.compile(r"(\d+) bytes smem")
_THUNK = re.compile(r"kCustomKernel.* (\w+) grid:.*shared_memory: (\d+) bytes")
_LAUNCH = re.compile(r"gpu\.launch_func .*dynamic_shared_memory_size %c(\d+)_i32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GpuCode:
    """The compiled code of a kernel on a GPU.

    registers: registers per thread.
    spill_stores, spill_loads: bytes per thread.
    shared_memory: bytes per block.
    products: kinds of tensor-core instructions.
    other_kernels: number of other kernels of the program.
    """

    registers: int
    spill_stores: int
    spill_loads: int
    shared_memory: int
    products: tuple[str, ...]
    other_kernels: int

    @property
    def tf32(self) -> bool:
        """Whether tensor cores round float32 operands to TensorFloat-32."""
        return any(".tf32" in kind for kind in self.products)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Usage:
    """The report of `ptxas` on one function, in bytes but for the registers."""

    registers: int
    spill_stores: int
    spill_loads: int
    shared_memory: int


def read_dumps(folder: Path, *, kernel: str, ptxas: Path) -> GpuCode:
    """Return the code of a kernel from the dumps of its compilation, by `ptxas`.

    Raises:
      FileNotFoundError: The kernel is not in the dumps.
    """
    texts = {path: path.read_text() for path in sorted(folder.glob("*.ptx"))}
    entries = {path: read_entries(text) for path, text in texts.items()}
    own = [path for path, names in entries.items() if _own(names, kernel)]
    if not own:
        raise FileNotFoundError(f"No PTX of `{kernel}` is in {folder}.")
    [name] = _own(entries[own[0]], kernel)
    usage = read_usage(_assemble(own[0], texts[own[0]], ptxas))[name]
    return GpuCode(
        registers=usage.registers,
        spill_stores=usage.spill_stores,
        spill_loads=usage.spill_loads,
        shared_memory=max(usage.shared_memory, _dynamic(folder, name)),
        products=tuple(sorted(set(_PRODUCT.findall(texts[own[0]])))),
        other_kernels=sum(len(names) for names in entries.values()) - 1,
    )


def read_entries(text: str) -> list[str]:
    """Return the names of the kernels of a PTX file."""
    return [first or second for first, second in _ENTRY.findall(text)]


def read_usage(output: str) -> dict[str, Usage]:
    """Return the usage of each function from the output of `ptxas -v`."""
    pieces = _FUNCTION.split(output)[1:]
    return {
        name: Usage(
            registers=_first(_REGISTERS, piece),
            spill_stores=_first(_SPILLS, piece),
            spill_loads=_first(_SPILLS, piece, group=2),
            shared_memory=_first(_STATIC, piece),
        )
        for name, piece in zip(pieces[::2], pieces[1::2], strict=True)
    }


def read_shared_memory(lines: Iterable[str], kernel: str) -> int:
    """Return a block's dynamic bytes, from XLA's thunks or Mosaic GPU's MLIR."""
    most = 0
    for line in lines:
        thunk, launch = _THUNK.search(line), _LAUNCH.search(line)
        if thunk is not None and thunk[1] == kernel:
            most = max(most, int(thunk[2]))
        if launch is not None and f"@{kernel}" in line:
            most = max(most, int(launch[1]))
    return most


def _dynamic(folder: Path, kernel: str) -> int:
    most = 0
    for pattern in ("*thunk_sequence.txt", "*.mlir-passes.log"):
        for path in folder.glob(pattern):
            with path.open(errors="replace") as lines:
                most = max(most, read_shared_memory(lines, kernel))
    return most


def _own(names: Sequence[str], kernel: str) -> list[str]:
    return [name for name in names if name.startswith(kernel)]


def _assemble(path: Path, text: str, ptxas: Path) -> str:
    arch = _ARCH.search(text)
    assert arch is not None, f"{path} names no architecture"
    command = [ptxas, "-v", f"-arch={arch[1]}", path, "-o", "/dev/null"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def _first(pattern: re.Pattern[str], text: str, group: int = 1) -> int:
    found = pattern.search(text)
    return 0 if found is None else int(found[group])
