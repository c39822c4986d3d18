"""Reading of PyTorch state dicts, with checks of names and shapes."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from carafe_jax.errors import RefusedError, no_type_check

# Counters, and the running sums of CSAIL's synchronised norms, which are not weights.
_NOT_WEIGHTS = re.compile(r"num_batches_tracked$|_tmp_running_\w+$|_running_iter$")
_WRAPPER, _PARALLEL = "state_dict", "module."
_SHOWN = 5  # Names in an error.


@no_type_check
def read_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a state dict by name, not yet converted to arrays.

    The key `state_dict` of a checkpoint and the prefix `module.` of torch's
    DataParallel are removed. Counters of norms are dropped.

    Args:
      state_dict: Weights by name, in any order.

    Raises:
      RefusedError: `state_dict` is not a mapping, or a name is not a string.
    """
    if not isinstance(state_dict, Mapping):
        raise RefusedError(
            "`state_dict` must map names to arrays, as `load_file` of safetensors or "
            f"`.state_dict()` of a module returns, got a {type(state_dict).__name__}."
        )
    inner = state_dict.get(_WRAPPER)
    found = inner if isinstance(inner, Mapping) else state_dict
    strange = [name for name in found if not isinstance(name, str)]
    if strange:
        raise RefusedError(
            f"The names of `state_dict` must be strings, got {strange[0]!r}."
        )
    if found and all(name.startswith(_PARALLEL) for name in found):
        found = {name.removeprefix(_PARALLEL): x for name, x in found.items()}
    return {name: x for name, x in found.items() if not _NOT_WEIGHTS.search(name)}


def check_names(
    names: Collection[str],
    expected: Collection[str],
    *,
    network: str,
    absent: Iterable[str] | None = (),
    hint: str = "",
) -> list[str]:
    """Return the names to convert; raise if some are missing or unexpected.

    Args:
      names: Names of a state dict.
      expected: Names of the network's arrays.
      network: Name of the network, for errors.
      absent: Modules and arrays that must be absent: "fc" for all names that begin
        with `fc.`. None allows any to be missing.
      hint: Text to add to the error if a name is missing.

    Returns:
      The names of `expected` that are in `names`, in the order of `expected`.

    Raises:
      RefusedError: Names are missing or unexpected, or `absent` names a module that the
        network does not have or that is present.
    """
    missing = [name for name in expected if name not in names]
    for module in () if absent is None else _checked_absent(absent):
        own = [name for name in expected if _belongs(name, module)]
        if not own:
            raise RefusedError(
                f"`absent` must name modules of {network}, got {module!r}."
            )
        present = [name for name in own if name in names]
        if present:
            raise RefusedError(
                "`absent` must name modules that are not in `state_dict`, got "
                f"{module!r}: it has {_first_of(present)}."
            )
        missing = [name for name in missing if name not in own]
    unexpected = sorted(set(names) - set(expected))
    faults = []
    if missing and absent is not None:
        faults.append(f"missing {_first_of(missing)}")
    if unexpected:
        faults.append(f"unexpected {_first_of(unexpected)}")
    found = [name for name in expected if name in names]
    if not found and not faults:
        faults.append("got none of them")
    if faults:
        shared = os.path.commonprefix(list(names))  # noqa: RUF071, names are no paths
        prefix = shared.rpartition(".")[0]
        if not found and prefix:
            hint = f" All names begin with {prefix + '.'!r}: remove that prefix."
        words = f"`state_dict` must have the names of {network}: {'; '.join(faults)}."
        raise RefusedError(words + (hint if missing else ""))
    return found


def array_of(state: Mapping[str, Any], name: str) -> np.ndarray:
    """Return a copy of one of the weights, an array of the same floating-point type.

    Args:
      state: Result of `read_state_dict`: arrays, or torch's tensors on any device.
      name: Name of the array.

    Raises:
      RefusedError: The array is not floating-point.
    """
    value = state[name]
    if hasattr(value, "detach"):  # A tensor, perhaps with a gradient, or on a GPU.
        value = value.detach().cpu()
        # NumPy itself has no bfloat16; float32 represents its values exactly.
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.array(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise RefusedError(
            f"`state_dict[{name!r}]` must hold floating-point numbers, got "
            f"{array.dtype}."
        )
    return array


def check_shape(
    name: str, array: np.ndarray, shape: tuple[int | None, ...], *, reason: str = ""
) -> None:
    """Raise unless an array has the expected shape.

    Args:
      name: Name of the array in the state dict.
      array: Result of `array_of`.
      shape: Expected shape; None allows any size.
      reason: Origin of the sizes, added to the shape in the error.

    Raises:
      RefusedError: The rank or a size differs.
    """
    if array.ndim != len(shape):
        raise RefusedError(
            f"`state_dict[{name!r}]` must have rank {len(shape)}, got {array.shape}."
        )
    if any(size not in (None, n) for size, n in zip(shape, array.shape, strict=True)):
        shown = ", ".join("any" if size is None else str(size) for size in shape)
        raise RefusedError(
            f"`state_dict[{name!r}]` must have shape ({shown}){reason}, got "
            f"{array.shape}."
        )


def deconvolution_kernel(weight: np.ndarray) -> np.ndarray:
    """Return the kernel (kh, kw, in, out) of torch's ConvTranspose2d weight.

    torch's layout is (in, out, kh, kw), and its window is flipped.
    """
    return weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)


def _checked_absent(absent: Iterable[str]) -> list[str]:
    if isinstance(absent, str):
        raise RefusedError(
            f"`absent` must be a sequence of names, ({absent!r},), got {absent!r}."
        )
    return list(absent)


def _belongs(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _first_of(names: Collection[str]) -> str:
    rest = len(names) - _SHOWN
    shown = ", ".join(list(names)[:_SHOWN])
    return shown + (f" and {rest} more" if rest > 0 else "")
