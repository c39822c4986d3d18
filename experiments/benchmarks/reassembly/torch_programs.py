"""The timed programs in PyTorch, if it is installed; it is imported only here."""

import functools
import importlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.benchmarks.reassembly.config import Mode, ProviderName
from experiments.benchmarks.reassembly.memory import available_bytes
from experiments.benchmarks.reassembly.platforms import on_accelerator
from experiments.benchmarks.reassembly.programs import (
    Program,
    Skip,
    first_line,
    too_large,
)
from experiments.benchmarks.reassembly.providers import (
    Computation,
    Operands,
    bytes_without_kernels,
    results_of,
)

# From NHWC and (n, oh, ow, g, taps) to PyTorch's order, and back.
_TO_TORCH = {4: (0, 3, 1, 2), 5: (0, 3, 4, 1, 2)}
_TO_JAX = {4: (0, 2, 3, 1), 5: (0, 3, 4, 1, 2)}


def torch_programs(
    provider: ProviderName, operands: Operands, *, scale: Fraction, mode: Mode
) -> list[Program | Skip]:
    """Return the programs of a provider: none for a gradient that it does not have."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as error:
        return [Skip(provider=provider, reason=f"PyTorch is missing ({error})")]
    try:
        if provider == "torch_bilinear":
            if mode == "grad_kernels":
                return []
            return [_bilinear(torch, operands, scale, mode)]
        reason = _refusal(torch, operands, scale, mode)
        if reason is not None:
            return [Skip(provider=provider, reason=reason)]
        return [_unfold(torch, operands, scale, mode)]
    except RuntimeError as error:  # Out of memory, or a dtype that a device lacks.
        return [Skip(provider=provider, reason=first_line(error))]


def reassemble_unfolded(
    torch: Any, features: Any, kernels: Any, *, scale: Fraction
) -> Any:
    """Reassemble as pure PyTorch implementations do: `F.unfold` and `einsum`.

    For x2, the map is first up-sampled by nearest neighbours, and windows are dilated.

    Args:
      torch: The module.
      features: (n, c, h, w).
      kernels: (n, g, taps, oh, ow).
      scale: An integer or the reciprocal of one.
    """
    up, down = scale.numerator, scale.denominator
    n, groups, taps, oh, ow = kernels.shape
    k = math.isqrt(taps)
    if up > 1:
        features = torch.nn.functional.interpolate(
            features, scale_factor=up, mode="nearest"
        )
    patches = torch.nn.functional.unfold(
        features, k, dilation=up, padding=k // 2 * up, stride=down
    )
    patches = patches.view(n, groups, -1, taps, oh, ow)
    return torch.einsum("ngthw,ngcthw->ngchw", kernels, patches).flatten(1, 2)


def _refusal(torch: Any, operands: Operands, scale: Fraction, mode: Mode) -> str | None:
    if 1 not in (scale.numerator, scale.denominator):
        return f"`scale` must be an integer or the reciprocal of one, got {scale}"
    if on_accelerator() and not torch.cuda.is_available():
        return "PyTorch sees no GPU"
    free = torch.cuda.mem_get_info()[0] if on_accelerator() else available_bytes()
    patches = operands.kernels.shape[-1] * operands.cotangent.nbytes
    needed = patches if mode == "forward" else 2 * patches
    return too_large(needed, free) if free is not None and needed > free else None


def _unfold(torch: Any, operands: Operands, scale: Fraction, mode: Mode) -> Program:
    computation = Computation(
        provider="torch_unfold",
        results=results_of(mode, ("output", "features", "kernels")),
        bytes_moved=operands.bytes_moved(mode),
        operations=operands.operations(mode),
    )
    function = functools.partial(reassemble_unfolded, torch, scale=scale)
    arrays = operands.features, operands.kernels
    return _program(torch, computation, function, arrays, operands.cotangent, mode)


def _bilinear(torch: Any, operands: Operands, scale: Fraction, mode: Mode) -> Program:
    computation = Computation(
        provider="torch_bilinear",
        results=results_of(mode, ("bilinear output", "bilinear features")),
        bytes_moved=bytes_without_kernels(operands, mode),
    )
    function = functools.partial(
        torch.nn.functional.interpolate,
        size=operands.cotangent.shape[1:3],
        mode="bilinear",
    )
    arrays = (operands.features,)
    return _program(torch, computation, function, arrays, operands.cotangent, mode)


def _program(
    torch: Any,
    computation: Computation,
    function: Callable[..., Any],
    arrays: tuple[Array, ...],
    cotangent: Array,
    mode: Mode,
) -> Program:
    inputs = [_to_torch(torch, x).requires_grad_() for x in arrays]
    start = _in_mode(torch, function, inputs, _to_torch(torch, cotangent), mode)
    start()  # Running out of memory surfaces here, not within a timing.

    def finish(out: Any) -> Any:
        if on_accelerator():
            torch.cuda.synchronize()
        return out

    return Program(
        computation=computation,
        start=start,
        finish=finish,
        arrays=lambda out: tuple(_to_jax(x, cotangent.dtype) for x in out),
        device_timer=lambda: (
            functools.partial(_seconds_on_device, torch, start)
            if on_accelerator()
            else None
        ),
    )


def _seconds_on_device(torch: Any, start: Callable[[], Any], calls: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start()
    begin.record()
    for _ in range(calls):
        start()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls / 1e3


def _in_mode(
    torch: Any, function: Callable[..., Any], inputs: list, cotangent: Any, mode: Mode
) -> Callable[[], tuple]:
    if mode == "forward":

        def forward() -> tuple:
            with torch.no_grad():
                return (function(*inputs),)

        return forward
    if mode == "forward_backward":

        def forward_backward() -> tuple:
            out = function(*inputs)
            return out.detach(), *torch.autograd.grad(out, inputs, cotangent)

        return forward_backward
    # A gradient alone: the forward is not timed.
    out = function(*inputs)
    wanted = results_of(mode, (out, *inputs))
    return lambda: torch.autograd.grad(out, wanted, cotangent, retain_graph=True)


def _to_torch(torch: Any, x: Array) -> Any:
    # NumPy has no bfloat16.
    host = np.asarray(x.astype(jnp.float32)).transpose(_TO_TORCH[x.ndim])
    device = "cuda" if on_accelerator() else "cpu"
    dtype = getattr(torch, str(x.dtype))
    return torch.from_numpy(np.ascontiguousarray(host)).to(device, dtype)


def _to_jax(x: Any, dtype: Any) -> Array:
    host = x.detach().float().permute(*_TO_JAX[x.ndim]).cpu().numpy()
    return jnp.asarray(host, dtype)
