"""Write the file tree of docs/architecture.md from the first lines of the modules' docstrings.

`python docs/make_architecture.py`; a test fails when the page is not what this script writes.
"""

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- file tree: made by docs/make_architecture.py -->\n", "<!-- end of the file tree -->\n"
LAYERS = ("app.py", "core", "components", "studio", "bench", "docs")
_INDENT, _COLUMN = "  ", 34
# A full stop behind a number belongs to an ordinal, such as in "5. März".
_SENTENCE_END = re.compile(r"(?<!\d)\. ")


def purpose(path: Path) -> str:
    """Return the first sentence of a module's docstring, without its full stop.

    Raises:
        ValueError: The module has none.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{path.relative_to(PROJECT)} has no docstring. Begin the file with one sentence.")
    return _SENTENCE_END.split(text.split("\n\n")[0].replace("\n", " "))[0].rstrip(".")


def tree() -> str:
    """Return the file tree: a line per Python file and folder, indented below its folder."""
    lines: list[str] = []
    for name in LAYERS:
        _add(PROJECT / name, 0, lines)
    return "```text\n" + "".join(lines) + "```\n"


def _add(path: Path, depth: int, lines: list[str]) -> None:
    name = path.name + ("/" if path.is_dir() else "")
    about = path / "__init__.py" if path.is_dir() else path
    words = purpose(about) if about.is_file() else ""
    lines.append(f"{_INDENT * depth + name:<{_COLUMN}}{words}".rstrip() + "\n")
    if path.is_dir():
        inside = [p for p in path.iterdir() if p.suffix == ".py" or (p.is_dir() and any(p.rglob("*.py")))]
        inside = [p for p in inside if p.name not in ("__init__.py", "__main__.py", "__pycache__")]
        for found in sorted(inside, key=lambda p: (p.is_file(), p.name)):
            _add(found, depth + 1, lines)


def page() -> str:
    """Return the whole page with the current tree."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + tree() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
