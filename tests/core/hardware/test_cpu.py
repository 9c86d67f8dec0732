"""Support of the CPU for bfloat16 products, read from cpuinfo."""

import platform
import sys

import pytest

from core.hardware import cpu


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma\n", False),
        ("flags\t\t: avx2 avx512f avx512dq avx512bw avx512vl\n", True),
        ("flags\t\t: avx2 avx512f avx512dq\n", False),
        ("flags\t\t: avx2 avx_ne_convert\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("Features\t: fp asimd\n", False),
        ("no list of anything\n", True),
    ],
)
def test_multiplies_bfloat16_reads_cpuinfo(tmp_path, cpuinfo, expected):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert cpu.multiplies_bfloat16(tmp_path / "cpuinfo") is expected
    assert cpu.multiplies_bfloat16(tmp_path / "none") is True


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="reads cpuinfo of Linux on x86")
def test_multiplies_bfloat16_agrees_with_torch():
    import torch

    assert cpu.multiplies_bfloat16() == torch.ops.mkldnn._is_mkldnn_bf16_supported()
