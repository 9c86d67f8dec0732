"""Text from outside in files for spreadsheets."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.system.spreadsheets import FORMULA_STARTS, as_text, as_text_cells

FORMULAS = ['=HYPERLINK("http://a.b","x")', "@SUM(1)", "+1+1", "-2+3", "=cmd|' /C calc'!A0", "\t=1", "\r=1", "\n=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_becomes_text(text):
    assert as_text_cells({text: text, "n": -2, "f": -0.5, "none": None}) == {
        f"'{text}": f"'{text}", "n": -2, "f": -0.5, "none": None,
    }  # fmt: skip


@given(st.text())
def test_no_cell_of_a_file_begins_like_a_formula(text):
    stream = io.StringIO()
    csv.writer(stream).writerow([as_text(text)])
    ((cell,),) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert cell.removeprefix("'") == text.removeprefix("'")
    assert not cell.startswith(FORMULA_STARTS)
