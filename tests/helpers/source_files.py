"""Source files of the project, for tests that read code instead of running it."""

from collections.abc import Callable, Iterable
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


def for_each_file(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Return a decorator that makes one test of a check of many files; its failure names every file that fails.

    A test per file would be thousands of tests, each of which takes longer to set up than to run.
    """

    def decorate(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            failures = []
            for path in paths:
                try:
                    check(path)
                except AssertionError as error:
                    failures.append(f"{name_of(path)}: {error}")
            assert not failures, "\n".join(failures)

        # functools.wraps would make pytest ask for a fixture `path`.
        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorate
