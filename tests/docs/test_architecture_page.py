"""docs/architecture.md and CONTRIBUTING.md: the file tree is up to date, and the paths and names in them exist."""

import ast
import re
import sys
from functools import cache

from tests.helpers.source_files import PROJECT


def test_file_tree_in_docs_matches_code():
    sys.path.insert(0, str(PROJECT / "docs"))
    try:
        from make_architecture import PAGE, page
    finally:
        sys.path.pop(0)
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make api"


@cache
def names_of(file: str) -> set[str]:
    """Return the names that a file defines at any depth: functions, classes and variables; of JavaScript, functions."""
    if file.endswith(".js"):
        return set(re.findall(r"function (\w+)\(", (PROJECT / file).read_text(encoding="utf-8")))
    nodes = list(ast.walk(ast.parse((PROJECT / file).read_text(encoding="utf-8"))))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return defined | {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def test_paths_in_docs_name_functions_that_exist():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tables = text.split("| step | file | name |\n|---|---|---|\n")[1:]
    steps = [line for table in tables for line in table.split("\n\n")[0].splitlines()]
    assert len(steps) >= 30
    for step in steps:
        found = re.fullmatch(r"\|[^|]+\| `([\w/]+\.(?:py|js))` \| `(\w+)` \|", step)
        assert found, f"not one file and one name: {step}"
        assert found[2] in names_of(found[1]), step


def test_paths_in_contributing_exist():
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    # Files by their whole path, and folders of the project; `studio/<name>_tab.py` stands for many.
    paths = set(re.findall(r"`([\w/.*]+\.(?:py|md)|(?:core|components|studio|tests|bench|docs)/[\w/]*)`", text))
    assert len(paths) >= 50
    assert not {path for path in paths if not any(PROJECT.glob(path))}


def test_names_in_contributing_are_in_the_files_beside_them():
    text = " ".join((PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    # "`A` or `B` in `path.py`"
    found = re.findall(r"((?:`\w+`(?:, | and | or ))*`\w+`) in `([\w/]+\.py)`", text)
    named = {(name, file) for names, file in found for name in re.findall(r"`(\w+)`", names)}
    assert len(named) >= 30
    assert not {(name, file) for name, file in named if name not in names_of(file)}
