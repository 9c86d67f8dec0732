"""Why a run failed, as a sentence with the next step, from whatever was raised."""

import errno

from core.errors import StudioError

_GPU = (
    "The GPU's memory ran out. Set gradient checkpointing to on or to offload, or lower the batch size or the maximum "
    "length."
)
_MACHINE = "The machine's memory ran out. Lower the batch size or the maximum length."
_DISK = "The disk is full: {}. Free some space, then resume the run: it goes on from its last checkpoint."


def cause_of(error: BaseException) -> str:
    import torch

    text = str(error)
    if isinstance(error, StudioError):
        return text
    if isinstance(error, torch.OutOfMemoryError):
        return _GPU
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        return _MACHINE
    # torch and safetensors tell of a full disk in exceptions of their own
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text or "PytorchStreamWriter" in text:
        return _DISK.format(text.strip().splitlines()[0])
    if isinstance(error, FileNotFoundError):
        return f"A file is gone: {error.filename or text}. Put it back, then resume the run."
    if isinstance(error, OSError):
        return f"A file could not be read or written: {text}. Check the folder and who may write there, then resume."
    return f"{type(error).__name__}: {text}. The whole story is in worker.log of the run."
