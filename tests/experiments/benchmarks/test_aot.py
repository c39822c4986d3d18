import csv
import dataclasses
import importlib.metadata
import io
import json
import math
import sys
import textwrap

import pytest
from rich.console import Console

import experiments.benchmarks.aot.run as aot_run
from experiments.benchmarks.aot import chips, compilation, llo, ptx
from experiments.benchmarks.aot.__main__ import main
from experiments.benchmarks.aot.chips import CHIPS
from experiments.benchmarks.aot.compilation import compile_jobs
from experiments.benchmarks.aot.config import Config
from experiments.benchmarks.aot.jobs import Job, make_jobs
from experiments.benchmarks.aot.llo import TpuCode
from experiments.benchmarks.aot.ptx import GpuCode
from experiments.benchmarks.aot.records import describe_versions, write_csv
from experiments.benchmarks.aot.result import Result, parse_result
from experiments.benchmarks.aot.run import run
from experiments.benchmarks.aot.table import make_table

TPU_JOB = Job(
    chip="v5e",
    backend="mosaic_tpu",
    launch="reassemble",
    shape="fpn_p3_up",
    dtype="float32",
    normalizer="softmax",
)
GPU_JOB = dataclasses.replace(TPU_JOB, chip="h200", backend="triton")
TPU_CODE = TpuCode(
    bundles=12,
    cycles=1_500_000,
    unknown_loops=0,
    other_cycles=0,
    vmem=2**20,
    spilled=0,
    products=8,
    split=True,
)
GPU_CODE = GpuCode(
    registers=96,
    spill_stores=0,
    spill_loads=0,
    shared_memory=49152,
    products=("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",),
    other_kernels=0,
)


def compiled(job, code, **changes):
    code = dataclasses.replace(code, **changes)
    return Result(job=job, status="compiled", config="TuningConfig()", code=code)


# A pipelined loop over 12 blocks (three stages), in it one of 7 trips that starts at 1.
BUNDLES = """\
LB: loop body

     0   :  { %s1_s1 = smov 0 ;;  %v7_v0 = vmov 0.0 }
   0x1 LB: > { %s3_s1 = sphi %s1_s1, %s4_s1 /* iteration index, stage = 2 */ }
   0x2   : > { %s4_s1 = sadd.s32 1, %s3_s1  ;;  %s5_s2 = smov (!%p3_p3), 1 }
   0x3   :  {}
   0x4 LB: >> { %s6_s2 = sphi %s5_s2, %s7_s2  ;;  %s7_s2 = sadd.s32 1, %s6_s2 }
   0x5   : >> { %p1_p1 = scmp.ge.s32.totalorder %s7_s2, 8 /* loop exit test */ }
   0x6   : >> { %9 = sbr.rel (!%p1_p1) target = $region2 }
   0x7   :  {}
   0x8 PF: > { %p2_p2 = scmp.ge.s32.totalorder %s4_s1, 14 /* loop exit test */ }
   0x9   :  { %8 = sbr.rel (!%p2_p2) target = $region1 }
   0xa   :  {}
"""


def test_bundles_are_counted_once_per_iteration():
    schedule = llo.read_schedule(BUNDLES.splitlines())
    # Outside: 0, 9 and a. In the outer loop: 1, 2, 3, 7 and 8. In the inner: 4, 5, 6.
    assert schedule == llo.Schedule(
        bundles=11, cycles=3 + 12 * (5 + 7 * 3), unknown_loops=0
    )


def test_instruction_outside_a_loop_does_not_end_it():
    text = BUNDLES.replace(
        "   0x5   : >> { %p1", "   0x5   : > { %s8_s8 = smov 0 }\n   0x5   : >> { %p1"
    )
    schedule = llo.read_schedule(text.splitlines())
    assert schedule == llo.Schedule(
        bundles=12, cycles=3 + 12 * (5 + 7 * 4), unknown_loops=0
    )


@pytest.mark.parametrize("end", ["%s9_s3", "8 /* no test */"])
def test_loop_without_a_constant_end_is_reported(end):
    text = BUNDLES.replace("%s7_s2, 8", f"%s7_s2, {end}")
    schedule = llo.read_schedule(text.splitlines())
    assert schedule == llo.Schedule(
        bundles=11, cycles=3 + 12 * (5 + 3), unknown_loops=1
    )


@pytest.mark.parametrize(("stored", "unknown"), [("%s3_s1", 0), ("%s6_s2", 1)])
def test_loop_counter_may_be_in_memory(stored, unknown):
    text = BUNDLES.replace(
        "sadd.s32 1, %s3_s1",
        "sadd.s32 1, %s8_s1 ;; %9 = sst [smem:[#allocation2_spill]] %s3_s1 ;; "
        f"%9 = sst [smem:[#allocation2_spill]] {stored} ;; "
        "%s8_s1 = sld [smem:[#allocation2_spill]] /* iteration index */",
    )
    assert llo.read_schedule(text.splitlines()).unknown_loops == unknown


def test_loop_without_a_start_is_reported():
    text = BUNDLES.replace(
        "%s5_s2 = smov (!%p3_p3), 1", "%s5_s2 = sld [smem:[#allocation0]]"
    )
    assert llo.read_schedule(text.splitlines()).unknown_loops == 1


# Two sides of a branch, of 2 bundles and of 1 and a loop of 5 trips; one that is alone.
BRANCHES = """\
     0   :  { %s5_s2 = smov 0 ;;  %8 = sbr.rel (!%p1_p1) target = $region2 }
   0x1   :  {}
   0x2   :  {}
   0x3 PF:  { %9 = sbr.rel (%p1_p1) target = $region3 } /* Start/End empty region 2 */
   0x4   :  {}
   0x5 LB: > { %s6_s2 = sphi %s5_s2, %s7_s2  ;;  %s7_s2 = sadd.s32 1, %s6_s2 }
   0x6   : > { %p2_p2 = scmp.ge.s32.totalorder %s7_s2, 5 /* loop exit test */ }
   0x7   : > { %9 = sbr.rel (!%p2_p2) target = $region9 }
   0x8 PF:  { %7 = sbr.rel (%p4_p4) target = $region5 } /* Start/End empty region 3 */
   0x9   :  {}
   0xa PF:  {} /* Start/End empty region 5 */
"""


@pytest.mark.parametrize(
    ("predicate", "cycles"),
    [("(%p1_p1)", 3 + 2 + 2), ("(!%p1_p1)", 3 + 2 + 16 + 2), ("(%p3_p3)", 23)],
)
def test_shorter_side_of_a_branch_is_counted(predicate, cycles):
    text = BRANCHES.replace(
        "(%p1_p1) target = $region3", f"{predicate} target = $region3"
    )
    schedule = llo.read_schedule(text.splitlines())
    assert schedule == llo.Schedule(bundles=11, cycles=cycles, unknown_loops=0)


def write_tpu_dumps(folder):
    kernel = BUNDLES.replace(
        "   0x6   : >> {",
        "   0x6   : >> { %3 = vmatmul.f32.gmra.mxu0 %v1_v1  ;;  "
        "%4 = vst [vmem:[#allocation8_spill] sm:$0xff] /*x*/%v7  ;;  "
        "%5 = sst [smem:[#allocation9_spill]] %s1  ;;  "
        "%v8_v1 = vand.u32 4294901760, %v7_v0  ;; ",
    )
    for name, text in (
        ("carafe_reassemble.1-71-final_bundles", kernel),
        ("carafe_reassemble.1-64-packed-bundles-post-ra", "not this"),
        ("carafe_reassemble.1-70-schedule-analysis_final_bundles", "not this"),
        ("copy.3-71-final_bundles", "  0   :  {}\n 0x1   :  { %1 = x }\n"),
        ("TLP-73-final_bundles", BUNDLES),
        ("<late-finalization>-68-final_bundles", BUNDLES),
    ):
        (folder / f"1795593970319133833-{name}.txt").write_text(text)


HLO = """\
%copy.3 = f32[8]{0} copy(%a), backend_config={"used_scoped_memory_configs":[]}
%carafe_reassemble.1 = f32[8]{0} custom-call(%a), backend_config={
"used_scoped_memory_configs":[{"memory_space":"1","offset":"0","size":"536576"}]}
"""


def test_tpu_dumps_are_read(tmp_path):
    write_tpu_dumps(tmp_path)
    code = llo.read_dumps(tmp_path, kernel="carafe_reassemble", hlo=HLO)
    assert code == TpuCode(
        bundles=11,
        cycles=315,
        unknown_loops=0,
        other_cycles=2,
        vmem=536576,
        spilled=4096,
        products=1,
        split=True,
    )


def test_a_kernel_that_is_not_in_the_dumps_is_an_error(tmp_path):
    write_tpu_dumps(tmp_path)
    with pytest.raises(FileNotFoundError, match="`carafe_grad_features`"):
        llo.read_dumps(tmp_path, kernel="carafe_grad_features", hlo=HLO)
    with pytest.raises(FileNotFoundError, match="No PTX of `carafe_reassemble`"):
        ptx.read_dumps(tmp_path, kernel="carafe_reassemble", ptxas=tmp_path)


PTX = """\
.version 9.0
.target sm_90a
.visible .entry carafe_reassemble(
)
{
  mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r1}, {%r2}, {%r3}, {%r4};
  wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {%r1}, %rd1, %rd2;
}
"""
PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'carafe_reassemble' for 'sm_90a'
ptxas info    : Function properties for carafe_reassemble
    9640 bytes stack frame, 20164 bytes spill stores, 22040 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 9640 bytes cumulative stack size
ptxas info    : Compiling entry function 'pad' for 'sm_90a'
ptxas info    : Function properties for pad
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 2 barriers, 1024 bytes smem
"""
THUNKS = (
    "001: kCustomKernel [source] carafe_reassemble grid: [76, 25, 1] "
    "threads: [128, 1, 1]  shared_memory: 49152 bytes\n"
)
LAUNCH = (
    "gpu.launch_func <%s> @carafe_reassemble_kernel::@carafe_reassemble_kernel blocks "
    "in (%5, %6, %7) threads in (%8, %1, %1) : i64 dynamic_shared_memory_size "
    "%c73752_i32 args(%80 : !llvm.ptr)\n"
)


def fake_ptxas(folder):
    path = folder / "ptxas"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{PTXAS}END\n")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_gpu_dumps_are_read(tmp_path):
    (tmp_path / "module.1.ptx").write_text(PTX)
    (tmp_path / "module.2.ptx").write_text("")
    (tmp_path / "module.3.ptx").write_text(".visible .entry pad(\n")
    (tmp_path / "module.thunk_sequence.txt").write_text(THUNKS)
    ptxas = fake_ptxas(tmp_path)
    code = ptx.read_dumps(tmp_path, kernel="carafe_reassemble", ptxas=ptxas)
    assert code == GpuCode(
        registers=32,
        spill_stores=20164,
        spill_loads=22040,
        shared_memory=49152,
        products=(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
            "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16",
        ),
        other_kernels=1,
    )
    assert code.tf32


def test_usage_is_read_by_function():
    assert ptx.read_usage(PTXAS)["pad"] == ptx.Usage(
        registers=12, spill_stores=0, spill_loads=0, shared_memory=1024
    )


def test_shared_memory_is_read_from_either_compiler():
    read = ptx.read_shared_memory
    assert read([THUNKS], "carafe_reassemble") == 49152
    assert read([THUNKS], "carafe_grad_features") == 0
    assert read([LAUNCH], "carafe_reassemble_kernel") == 73752


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (compiled(TPU_JOB, TPU_CODE), []),
        (compiled(GPU_JOB, GPU_CODE), []),
        (compiled(GPU_JOB, GPU_CODE, spill_loads=8), ["must not spill"]),
        (compiled(GPU_JOB, GPU_CODE, shared_memory=232449), ["at most 232448 bytes"]),
        (
            compiled(GPU_JOB, GPU_CODE, products=("mma.sync.f32.tf32.tf32.f32",)),
            ["must not use TF32"],
        ),
        (compiled(TPU_JOB, TPU_CODE, split=False), ["must take several passes"]),
        (compiled(TPU_JOB, TPU_CODE, split=False, products=0), []),
        (compiled(TPU_JOB, TPU_CODE, vmem=2**28), ["VMEM must be at most"]),
    ],
)
def test_broken_rules_are_reported(result, words):
    assert len(result.problems) == len(words)
    assert all(word in said for word, said in zip(words, result.problems, strict=True))


def test_bfloat16_may_use_one_pass():
    job = dataclasses.replace(TPU_JOB, dtype="bfloat16")
    assert not compiled(job, TPU_CODE, split=False).problems


def test_estimates_are_bytes_over_bandwidth_and_cycles_over_clock():
    result = compiled(TPU_JOB, TPU_CODE)
    features, logits, output = 100 * 152 * 256, 100 * 152 * 100, 200 * 304 * 256
    assert TPU_JOB.fewest_bytes == 4 * (features + logits + output)
    assert math.isclose(result.memory_seconds, TPU_JOB.fewest_bytes / 819e9)
    assert result.schedule_seconds is not None
    assert math.isclose(result.schedule_seconds, 1e-3)


@pytest.mark.parametrize(
    ("launch", "normalizer", "arrays"),
    [
        ("grad_features", "none", "kernels cotangent"),
        ("grad_kernels", "none", "features cotangent"),
        ("grad_kernels", "softmax", "features cotangent logits"),
    ],
)
def test_job_lists_the_arrays_that_its_launch_reads(launch, normalizer, arrays):
    job = dataclasses.replace(TPU_JOB, launch=launch, normalizer=normalizer)
    assert list(job.arguments) == arrays.split()


@pytest.mark.parametrize("result", [(TPU_JOB, TPU_CODE), (GPU_JOB, GPU_CODE)])
def test_results_survive_conversion_to_json(result):
    made = compiled(*result)
    assert parse_result(made.to_json()) == made


def test_each_chip_has_the_backends_of_its_platform():
    jobs = list(make_jobs(Config(quick=True).effective))
    assert {(job.chip, job.backend) for job in jobs} == {
        ("v5e", "mosaic_tpu"),
        ("v5p", "mosaic_tpu"),
        ("v6e", "mosaic_tpu"),
        ("h200", "mosaic_gpu"),
        ("h200", "triton"),
        ("a100", "mosaic_gpu"),
        ("a100", "triton"),
    }
    assert len(jobs) == 7 * 3 * 2
    assert len(set(map(str, jobs))) == len(jobs)


@pytest.mark.parametrize("name", CHIPS)
def test_missing_compiler_is_reported_with_its_package(name, monkeypatch):
    monkeypatch.setattr(chips, "version", lambda package: None)
    reason = CHIPS[name].missing()
    assert reason is not None
    if CHIPS[name].platform == "tpu":
        assert 'pip install "jax[tpu]"' in reason
    else:
        jax = importlib.metadata.version("jax")
        assert f"jax-cuda13-plugin=={jax} jax-cuda13-pjrt=={jax}" in reason
        assert "pip install nvidia-cuda-nvcc" in reason


@pytest.mark.slow
def test_missing_compilers_end_the_run_with_a_message(tmp_path, monkeypatch):
    monkeypatch.setattr(chips, "version", lambda package: None)
    console = Console(file=io.StringIO(), width=300)
    assert not run(Config(quick=True, output=tmp_path).effective, console)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert text.count("pip install") == 3 + 2 * 2
    assert "Nothing was compiled" in text


@pytest.mark.slow
def test_the_csv_has_a_line_for_each_number(tmp_path):
    refused = Result(job=GPU_JOB, status="refused", reason="`C` must be even, got 3")
    results = [compiled(TPU_JOB, TPU_CODE), compiled(GPU_JOB, GPU_CODE), refused]
    write_csv(tmp_path / "aot.csv", results, describe_versions())
    with (tmp_path / "aot.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["chip"], row["status"], row["metric"]): row for row in rows}
    assert found["v5e", "compiled", "estimated_cycles"]["value"] == "1500000"
    assert found["h200", "compiled", "registers"]["value"] == "96"
    assert found["h200", "refused", "compiled"]["reason"] == refused.reason
    assert all(row["jax"] and row["date"] and row["unit"] for row in rows)


@pytest.mark.parametrize(
    "results",
    [
        [compiled(TPU_JOB, TPU_CODE, unknown_loops=1, other_cycles=10**6)],
        [
            compiled(GPU_JOB, GPU_CODE, spill_stores=20164),
            Result(job=GPU_JOB, status="refused", reason="because"),
        ],
    ],
)
def test_tables_fit_a_narrow_console(results):
    job = dataclasses.replace(results[0].job, shape="fpn_p3_three_halves")
    results = [dataclasses.replace(result, job=job) for result in results]
    console = Console(file=io.StringIO(), width=80)
    console.print(make_table(results))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "fpn_p3_three_halves" in text
    assert "…" not in text


def fake_worker(monkeypatch, body):
    """Replace the process that compiles by a few lines of Python."""
    script = "import json, os, sys, time\n" + textwrap.dedent(body)
    start = compilation.subprocess.Popen

    def start_fake(command, **options):
        return start([sys.executable, "-c", script], **options)

    monkeypatch.setattr(compilation.subprocess, "Popen", start_fake)


@pytest.mark.slow
def test_crash_of_a_compiler_does_not_stop_the_others(monkeypatch):
    fake_worker(
        monkeypatch,
        """
        for line in sys.stdin:
            job = json.loads(line)
            if job["launch"] == "grad_features":
                print("CHECK failed", file=sys.stderr, flush=True)
                os.abort()
            answer = {"job": job, "status": "refused", "code": None, "reason": "so"}
            print(json.dumps(answer), flush=True)
        """,
    )
    jobs = [
        dataclasses.replace(TPU_JOB, launch=launch)
        for launch in ("reassemble", "grad_features", "grad_kernels")
    ]
    results = list(compile_jobs(jobs))
    assert [result.job for result in results] == jobs
    assert [result.status for result in results] == ["refused", "failed", "refused"]
    assert "SIGABRT: CHECK failed" in results[1].reason


@pytest.mark.slow
def test_hanging_compiler_is_stopped(monkeypatch):
    fake_worker(monkeypatch, "time.sleep(60)")
    [result] = compile_jobs([TPU_JOB], limit=0.2)
    assert result.status == "failed"
    assert result.reason == "it took more than 0.2 s"


def refuse_all(monkeypatch):
    """Replace the compiler by a process that refuses every job, naming its launch."""
    monkeypatch.setattr(chips, "version", lambda package: "1")
    fake_worker(
        monkeypatch,
        """
        for line in sys.stdin:
            job = json.loads(line)
            time.sleep(0.3 if job["launch"] == "reassemble" else 0)
            answer = {"job": job, "status": "refused", "code": None}
            print(json.dumps({**answer, "reason": job["launch"]}), flush=True)
        """,
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_tables_are_in_order_with_any_number_of_workers(workers, tmp_path, monkeypatch):
    refuse_all(monkeypatch)
    config = Config(
        chips=("h200",),
        backends=("triton",),
        quick=True,
        workers=workers,
        output=tmp_path,
    ).effective
    console = Console(file=io.StringIO(), width=200)
    assert run(config, console)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    said = [line for line in text.splitlines() if "refused: " in line]
    assert [line.split("refused: ")[1] for line in said] == list(config.launches)
    with (tmp_path / "aot.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["launch"] for row in rows)) == list(config.launches)


@pytest.mark.slow
def test_finished_results_are_kept_when_a_run_is_interrupted(tmp_path, monkeypatch):
    refuse_all(monkeypatch)
    tables = iter([make_table, None])

    def make_one_table(results):
        make = next(tables)
        if make is None:
            raise KeyboardInterrupt
        return make(results)

    monkeypatch.setattr(aot_run, "make_table", make_one_table)
    config = Config(chips=("h200",), quick=True, output=tmp_path).effective
    with pytest.raises(KeyboardInterrupt):
        run(config, Console(file=io.StringIO()))
    with (tmp_path / "aot.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["launch"] for row in rows} == {"reassemble"}


def test_flags_of_the_caller_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=1")
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--two=2")
    flags = CHIPS["h200"].environment(tmp_path)["XLA_FLAGS"]
    assert flags.startswith(f"--xla_one=1 --xla_dump_to={tmp_path} ")
    arguments = CHIPS["v5e"].environment(tmp_path)["LIBTPU_INIT_ARGS"]
    assert arguments.startswith("--two=2 --xla_jf_dump_to=")


@pytest.mark.parametrize(
    ("field", "value"), [("limit", 0.0), ("shapes", ()), ("workers", 0)]
)
def test_values_that_break_a_rule_are_refused(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must"):
        Config(**{field: value})


def test_help_lists_the_options(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["aot", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "--keep-dumps" in capsys.readouterr().out


def test_jobs_survive_conversion_to_json():
    assert Job(**json.loads(json.dumps(dataclasses.asdict(TPU_JOB)))) == TPU_JOB
