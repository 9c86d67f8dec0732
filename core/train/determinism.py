"""Settings with which runs on one GPU repeat bit by bit, so that a resumed run equals one that was never stopped.

Sources of difference on a GPU, and the remedy for each:

- The backward pass of flash attention adds the gradients of the queries atomically, in any order. PyTorch's kernel
  adds them in a fixed order under `torch.use_deterministic_algorithms(True)`, and only where `warn_only` is off
  (aten/src/ATen/native/transformers/cuda/attention_backward.cu); flash-attn's takes an argument
  (core/kernels/attention.py).
- cuBLAS may split a product differently when its workspace differs. CUBLAS_WORKSPACE_CONFIG fixes the workspace, and
  must be set before the first product.
- The gradients of indexing (index_add, scatter_add, index_put) are atomic; PyTorch sorts the indices in this mode.

The studio's Triton kernels (core/kernels, core/train/kernels) use no atomics, compute each number in one program, and
are never tuned at run time, so they repeat. So do the kernels of a CPU.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from core.errors import StudioError
from core.runs.config import QLoRAConfig

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
# The two values that cuBLAS documents as reproducible; the first is larger and never slower.
_WORKSPACES = (":4096:8", ":16:8")
# Part of the error that PyTorch raises in deterministic mode.
_MISSING = "does not have a deterministic implementation"


@contextlib.contextmanager
def fixed_cublas_workspace(config: QLoRAConfig) -> Iterator[None]:
    """Fix the workspace of cuBLAS inside, and restore the environment afterwards.

    CUDA must not have started yet.
    """
    before = os.environ.get(_WORKSPACE)
    if config.deterministic != "off" and before not in _WORKSPACES:
        os.environ[_WORKSPACE] = _WORKSPACES[0]
    try:
        yield
    finally:
        os.environ.pop(_WORKSPACE, None)
        if before is not None:
            os.environ[_WORKSPACE] = before


def _find_missing(try_step: Callable[[], None]) -> str | None:
    """Return the operation that PyTorch cannot compute deterministically; None if it can compute all."""
    try:
        try_step()
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
        return str(error).split(_MISSING)[0].strip()
    return None


def set_mode(config: QLoRAConfig, on_gpu: bool, try_step: Callable[[], None]) -> str:
    """Switch PyTorch's deterministic mode on or off for a run.

    Args:
        config: The run's settings.
        on_gpu: Whether the run trains on a GPU.
        try_step: Runs a short forward and backward pass of the model. In deterministic mode it raises if an operation
            has no deterministic implementation.

    Returns:
        A note on the mode and the reason, as a sentence.

    Raises:
        StudioError: An operation of the model has no deterministic implementation, and `deterministic` is on.
    """
    import torch

    if config.deterministic == "off":
        torch.use_deterministic_algorithms(False)
        return (
            "Deterministic is off (as configured): a resumed run may differ from an uninterrupted one in the last bits."
        )
    if not on_gpu:
        return f"Deterministic is {config.deterministic}: on a CPU the same run repeats bit by bit in any case."
    torch.use_deterministic_algorithms(True)
    # In this mode PyTorch also fills all new memory, which costs time and only helps to find reads of unwritten memory.
    torch.utils.deterministic.fill_uninitialized_memory = False
    if (operation := _find_missing(try_step)) is not None:
        missing = f"{operation}, which this model uses, {_MISSING} on a GPU"
        if config.deterministic == "on":
            raise StudioError(f"Deterministic is on, and {missing}. Set Deterministic to auto or off.")
        torch.use_deterministic_algorithms(False)
        return f"Deterministic is off (auto: {missing})."
    chosen = "as configured" if config.deterministic == "on" else "auto: every operation of this model can be"
    return f"Deterministic is on ({chosen}): a resumed run equals an uninterrupted one on the same GPU bit by bit."


@contextlib.contextmanager
def nondeterministic_allowed() -> Iterator[None]:
    """Switch deterministic mode off inside: generating samples does not affect training."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
