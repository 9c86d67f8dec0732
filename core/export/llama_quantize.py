"""K-quants and IQ types by llama.cpp, from a GGUF file in 16 bits.

llama.cpp is C++ that may abort its process, so it runs in a process of its own
(`core.export.llama_quantize_process`), which reports each tensor on its standard output and ends with the job. The
package llama-cpp-python is optional (requirements-llama-cpp.txt).
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from core.errors import StudioError
from core.export.config import GGUFType
from core.system.counting import counted
from core.system.jobs import Progress

INSTALL = "pip install -r requirements-llama-cpp.txt"
_TENSOR = re.compile(r"tensor (\d+) of (\d+)")
# Values of a row in one block of the K-quants and of all IQ types but IQ4_NL.
_LARGE_BLOCK = 256


def is_installed() -> bool:
    """Return whether llama-cpp-python is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


def check_installed(kind: GGUFType) -> None:
    """Check that llama-cpp-python is installed.

    Args:
        kind: The type that needs it.

    Raises:
        StudioError: It is not.
    """
    if not is_installed():
        raise StudioError(
            f"The GGUF type {kind} needs llama.cpp, and the package llama-cpp-python is not installed. Install it "
            f"with: {INSTALL}"
        )


def quantize(source: Path, target: Path, kind: GGUFType, importance: Path | None, progress: Progress) -> None:
    """Quantize a GGUF file.

    Args:
        source: A file in F16, BF16 or F32.
        target: The file to write.
        kind: A type of llama.cpp.
        importance: A file of `core.export.importance_file`; None rounds all weights alike.
        progress: Called at each tensor.

    Raises:
        StudioError: llama.cpp failed.
    """
    command = [sys.executable, "-m", "core.export.llama_quantize_process", source, target, kind, importance or ""]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [str(word) for word in command], cwd=root, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        last = ""
        for line in process.stdout or ():
            last = line.strip()
            if found := _TENSOR.fullmatch(last):
                number, total = int(found[1]), int(found[2])
                progress(number / total, f"Quantizing tensor {number:,} of {total:,} to {kind}")
    if process.returncode:
        reason = last if last and not _TENSOR.fullmatch(last) else f"its process ended with {process.returncode}"
        raise StudioError(f"llama.cpp cannot write this model as {kind}: {reason}. Choose another GGUF type.")


def describe_fallback(path: Path, kind: GGUFType) -> str:
    """Return which matrices have another type than the one chosen because of their width; "" if none has.

    Args:
        path: A file that `quantize` wrote.
        kind: The type that was chosen.
    """
    import gguf

    matrices = [tensor for tensor in gguf.GGUFReader(path).tensors if len(tensor.shape) > 1]
    # GGUF lists the width of a row first.
    odd = [tensor for tensor in matrices if int(tensor.shape[0]) % _LARGE_BLOCK]
    if kind == "IQ4_NL" or not odd:
        return ""
    kinds = sorted({tensor.tensor_type.name for tensor in odd})
    widths = ", ".join(f"{width:,}" for width in sorted({int(tensor.shape[0]) for tensor in odd}))
    size, total = (sum(int(tensor.n_bytes) for tensor in found) for found in (odd, matrices))
    return (
        f"{kind} divides rows into blocks of {_LARGE_BLOCK} values. In {len(odd):,} of "
        f"{counted(len(matrices), 'matrix', 'matrices')} this is not possible, because their rows have {widths} "
        f"values; llama.cpp wrote these as {' and '.join(kinds)}. They are {size / total:.0%} of the file."
    )
