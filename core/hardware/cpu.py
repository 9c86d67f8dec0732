"""What the processor has instructions for, asked of the system and not of torch."""

import functools
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Any of these sets is enough for torch's bfloat16 products (its mkldnn_bf16_device_check): AVX-512, AVX-NE-CONVERT, ARM
_BFLOAT16 = ({"avx512bw", "avx512dq", "avx512vl"}, {"avx_ne_convert"}, {"bf16"})


@functools.cache
def multiplies_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether products in bfloat16 are no slower than in float32; True where the system does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return True
    told = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), None)
    return told is None or any(needed <= set(told.split()) for needed in _BFLOAT16)
