"""The choice among several types: its rule, its reasons, the table and the picture."""

from pathlib import Path

import pytest

from core.export import type_comparison
from core.export.result import ExportedType, Fidelity


def make(kind, size, mean_kl, difference=(-0.01, 0.01), same_choice=0.97):
    found = Fidelity(
        rows=32, tokens=900, same_choice=same_choice, mean_kl=mean_kl, high_kl=0.2, loss=2.0, exported_loss=2.005,
        difference=difference,
    )  # fmt: skip
    return ExportedType(quantization=kind, path=Path(f"{kind}.gguf"), size=size, fidelity=found)


F16, Q8 = make("F16", 4000, 1e-6), make("Q8_0", 2000, 5e-4)


@pytest.mark.parametrize(
    ("types", "marked", "reason"),
    [
        ([F16, Q8, make("Q4_K_M", 1000, 0.015)], "Q4_K_M", "Q4_K_M is the smallest file with hardly any difference"),
        # The KL divergence is too high.
        ([F16, Q8, make("Q4_K_M", 1000, 0.02)], "Q8_0", "mean KL divergence is below 0.02, or"),
        # A file with another grade is not marked if its loss is clearly higher, or lower.
        ([F16, make("Q5_0", 2000, 5e-3, (0.001, 0.02))], "F16", "F16 is the smallest"),
        ([F16, make("Q5_0", 2000, 5e-3, (-0.02, -0.001))], "F16", "F16 is the smallest"),
        # A file with the grade "same" is marked whatever its loss: its interval is very small.
        ([make("Q8_0", 2000, 5e-4, (1e-5, 2e-5), 0.995)], "Q8_0", "at least 99% equal next tokens"),
        ([make("Q8_0", 2000, 5e-4, None, 0.995)], "Q8_0", "Q8_0 is the smallest"),
        ([make("Q4_0", 900, 0.3), make("Q2_K", 700, 1.2)], None, "these rows show a difference between each"),
        ([make("F16", 4000, 0, None), make("Q8_0", 2000, 0, None)], None, "20 compared rows are needed"),
        ([ExportedType(quantization="Q8_0", path=Path("a"), size=1)], None, "were not compared"),
    ],
)
def test_smallest_file_with_hardly_any_difference_is_marked(types, marked, reason):
    found = type_comparison.find_smallest(types)
    assert (found and found.quantization) == marked
    assert reason in type_comparison.describe_choice(types)


def test_table_lists_the_largest_first_and_marks_one():
    text = type_comparison.to_markdown([Q8, F16])
    assert text.index("F16") < text.index("**Q8_0**")
    assert "| F16 | 3.9 KiB | 97.0% | 1e-06 | 0.2 | +0.0050 (-0.0100 to +0.0100) |" in text
    assert text.endswith("(types.png)")
    alone = type_comparison.to_markdown([ExportedType(quantization="Q8_0", path=Path("a"), size=1)])
    assert "types.png" not in alone


def test_picture_is_drawn_with_and_without_intervals():
    for types in ([F16, Q8], [make("F16", 4000, 0, None), make("Q4_0", 900, 0.3, None)]):
        assert type_comparison.picture(types).startswith(b"\x89PNG")
