"""docs/architecture.md: its file tree is up to date, and the functions that it names exist."""

import ast
import re
import sys

from tests.helpers.source_files import PROJECT


def test_file_tree_in_docs_matches_code():
    sys.path.insert(0, str(PROJECT / "docs"))
    try:
        from make_architecture import PAGE, page
    finally:
        sys.path.pop(0)
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make api"


def test_paths_in_docs_name_functions_that_exist():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\|[^|`]+\| `([\w/]+\.py)` \| `(\w+)` \|$", text, re.MULTILINE)
    assert len(steps) >= 18
    for file, name in steps:
        nodes = ast.walk(ast.parse((PROJECT / file).read_text(encoding="utf-8")))
        assert name in {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}, file
