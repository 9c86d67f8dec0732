"""Cause of a failed run, from its exception: what happened, and the next step."""

import errno

from core.errors import StudioError

_GPU_MEMORY = (
    "The GPU's memory ran out. Set gradient checkpointing to on or to offload, or lower the batch size or the maximum "
    "length."
)
_MACHINE_MEMORY = "The machine's memory ran out. Lower the batch size or the maximum length."
_DISK_FULL = "The disk is full: {}. Free some space, then resume the run: it continues from its last checkpoint."


def describe_failure(error: BaseException) -> str:
    """Return why a run failed and what to do, as one or two sentences."""
    import torch

    text = str(error)
    if isinstance(error, StudioError):
        return text
    if isinstance(error, torch.OutOfMemoryError):
        return _GPU_MEMORY
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        return _MACHINE_MEMORY
    # torch and safetensors report a full disk in exceptions of their own, without an errno.
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text or "PytorchStreamWriter" in text:
        return _DISK_FULL.format(text.strip().splitlines()[0])
    if isinstance(error, FileNotFoundError):
        return f"A file is missing: {error.filename or text}. Put it back, then resume the run."
    if isinstance(error, (ConnectionError, TimeoutError)):
        return f"A connection failed: {text}. Check the network and the tracker, then resume the run."
    if isinstance(error, OSError):
        return f"A file could not be read or written: {text}. Check the folder and its permissions, then resume."
    return f"{type(error).__name__}: {text}. See worker.log of the run for the traceback."
