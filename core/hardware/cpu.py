"""Instruction sets of the processor, read from /proc/cpuinfo without importing torch."""

import functools
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# With any of these sets of flags torch multiplies bfloat16 natively (its mkldnn_bf16_device_check): AVX-512,
# AVX-NE-CONVERT, ARM.
_BFLOAT16 = ({"avx512bw", "avx512dq", "avx512vl"}, {"avx_ne_convert"}, {"bf16"})


@functools.cache
def multiplies_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether matrix products in bfloat16 are no slower than in float32; True if the flags are unknown."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return True
    # x86 lists "flags", ARM lists "Features".
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), None)
    return flags is None or any(needed <= set(flags.split()) for needed in _BFLOAT16)
