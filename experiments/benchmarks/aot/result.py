"""The result of one compilation, and its problems."""

import dataclasses
import json
from typing import Any, Literal

from experiments.benchmarks.aot.chips import CHIPS
from experiments.benchmarks.aot.jobs import Job
from experiments.benchmarks.aot.llo import TpuCode
from experiments.benchmarks.aot.ptx import GpuCode

Status = Literal["compiled", "refused", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one job.

    reason: why the job was not compiled.
    config: block sizes of the launch.
    seconds: compile time.
    temporaries: bytes of device memory beside arguments and result.
    """

    job: Job
    status: Status
    reason: str = ""
    config: str = ""
    seconds: float = 0.0
    temporaries: int = 0
    code: GpuCode | TpuCode | None = None

    @property
    def memory_seconds(self) -> float:
        """Estimated memory time: the minimum traffic at the chip's bandwidth."""
        return self.job.fewest_bytes / CHIPS[self.job.chip].bandwidth

    @property
    def schedule_seconds(self) -> float | None:
        """Estimated time of the static schedule, XLA's other instructions included."""
        clock = CHIPS[self.job.chip].clock
        if clock is None or not isinstance(self.code, TpuCode):
            return None
        return (self.code.cycles + self.code.other_cycles) / clock

    @property
    def problems(self) -> list[str]:
        """Rules that the compiled code breaks."""
        chip = CHIPS[self.job.chip]
        float32 = self.job.dtype == "float32"
        found = []
        match self.code:
            case GpuCode() as code:
                if code.spill_stores or code.spill_loads:
                    found.append(
                        f"registers must not spill, got {code.spill_stores} bytes of "
                        f"stores and {code.spill_loads} of loads"
                    )
                if code.shared_memory > chip.on_chip:
                    found.append(
                        f"shared memory must be at most {chip.on_chip} bytes, got "
                        f"{code.shared_memory}"
                    )
                if float32 and code.tf32:
                    kinds = ", ".join(code.products)
                    found.append(f"float32 products must not use TF32, got {kinds}")
            case TpuCode() as code:
                if code.vmem > chip.on_chip:
                    found.append(
                        f"VMEM must be at most {chip.on_chip} bytes, got {code.vmem}"
                    )
                if float32 and code.products and not code.split:
                    found.append(
                        "float32 products must take several passes, got a single one "
                        "of bfloat16"
                    )
        return found

    def to_json(self) -> str:
        """Return the result as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))


def parse_result(line: str) -> Result:
    """Return the result that `to_json` wrote."""
    fields: dict[str, Any] = json.loads(line)
    job, code = Job(**fields.pop("job")), fields.pop("code")
    if code is not None and CHIPS[job.chip].platform == "cuda":
        code = GpuCode(**code | {"products": tuple(code["products"])})
    elif code is not None:
        code = TpuCode(**code)
    return Result(job=job, code=code, **fields)
