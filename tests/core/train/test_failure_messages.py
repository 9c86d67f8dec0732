"""Failures of training as sentences with the next step."""

import errno

import pytest
import torch

from core.errors import StudioError
from core.train.failure_messages import describe_failure


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StudioError("Say no more."), "Say no more."),
        (torch.OutOfMemoryError("CUDA out of memory"), "The GPU's memory ran out. Set gradient checkpointing"),
        (MemoryError(), "The machine's memory ran out"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "The machine's memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "The disk is full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "The disk is full"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/models/x.safetensors"), "/models/x.safetensors"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "could not be read or written"),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            "A connection failed: [Errno 111] Connection",
        ),
        (TimeoutError("timed out"), "A connection failed: timed out. Check the network"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero. See worker.log"),
    ],
)
def test_describe_failure_gives_sentence_with_next_step(error, words):
    text = describe_failure(error)
    assert words in text
    assert text.endswith(".")
