"""docs/evaluate.md: the table of metrics is that of the registry."""

import sys

from tests.helpers.source_files import PROJECT


def test_table_of_metrics_in_docs_matches_registry():
    sys.path.insert(0, str(PROJECT / "docs"))
    try:
        from make_metrics import PAGE, page
    finally:
        sys.path.pop(0)
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make api"
