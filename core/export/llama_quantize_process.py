"""The process in which llama.cpp quantizes a GGUF file.

    python -m core.export.llama_quantize_process SOURCE TARGET TYPE IMPORTANCE

It prints "tensor 3 of 272" at each tensor. If llama.cpp fails, the last line is its reason and the exit status is 1. It
ends when its standard input is closed, so that it does not outlive the job that started it.
"""

import ctypes
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

from core.export import importance_file

_ERROR_LEVEL = 4
_TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_FAILED = re.compile(r"failed to quantize: (.+)")


def main(source: str, target: str, kind: str, importance: str) -> int:
    """Quantize a file, and return the exit status.

    Args:
        source: A GGUF file in 16 or 32 bits.
        target: The file to write.
        kind: A type of llama.cpp, such as Q4_K_M.
        importance: An importance matrix; "" for none.
    """
    import gguf
    import llama_cpp

    reasons: list[str] = []
    callback = llama_cpp.llama_log_callback(_reporter(reasons))
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = int(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    options.nthread = os.cpu_count() or 1
    entries = _entries(Path(importance)) if importance else None
    if entries is not None:
        options.imatrix = entries
    failed = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(options))
    if failed:
        print(reasons[-1] if reasons else "it gave no reason", flush=True)
    return int(bool(failed))


def _reporter(reasons: list[str]) -> Any:
    """Return a callback for llama.cpp's log: it prints the tensors, and collects why it failed."""

    def report(level: int, text: bytes, _: Any) -> None:
        line = text.decode(errors="replace")
        if found := _TENSOR.search(line):
            print(f"tensor {found[1]} of {found[2]}", flush=True)
        if level == _ERROR_LEVEL and (found := _FAILED.search(line)):
            reasons.append(found[1].strip())

    return report


def _entries(path: Path) -> Any:
    """Return an importance matrix as llama.cpp takes it: a list that ends with an entry without a name."""
    import llama_cpp

    found = importance_file.read(path)
    entries = (llama_cpp.llama_model_imatrix_data * (len(found) + 1))()
    for entry, (name, values) in zip(entries, found.items(), strict=False):
        # ctypes keeps the text and the array alive as long as the entries.
        array = (ctypes.c_float * len(values))(*values)
        entry.name, entry.size = name.encode(), len(values)
        entry.data = ctypes.cast(array, ctypes.POINTER(ctypes.c_float))
    return entries


def _end_with_parent() -> None:
    """End when standard input ends: the process that started this one is gone."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    # Skip the interpreter's cleanup, because threads of llama.cpp may still run.
    os._exit(status)
