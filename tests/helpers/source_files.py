"""Source files of the project, for tests that read code instead of running it."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "components", "studio", "bench", "docs")
SOURCES = [PROJECT / "app.py", *(path for folder in FOLDERS for path in sorted((PROJECT / folder).rglob("*.py")))]
TESTS = sorted((PROJECT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a file's path from the project's root."""
    return path.relative_to(PROJECT).as_posix()


def below(folder: str) -> list[Path]:
    """Return the source files whose names begin with `folder`."""
    return [path for path in SOURCES if name_of(path).startswith(folder)]
