"""docs/data-formats.md is what docs/make_formats.py makes of the code."""

import runpy
from pathlib import Path

from core.data.formats import FORMATS

PROJECT = Path(__file__).resolve().parents[1]


def test_formats_page_is_what_the_code_says():
    made = runpy.run_path(str(PROJECT / "docs" / "make_formats.py"))["page"]()
    assert (PROJECT / "docs" / "data-formats.md").read_text(encoding="utf-8") == made, (
        "run: python docs/make_formats.py"
    )
    assert all(f"(`{form.name}`)" in made for form in FORMATS if form.name != "undecided")
    assert made.count("*the page asks*") >= 4
