"""Helpers that write small datasets to files and open them as a user would, and a copy of the bundled dataset."""

import functools
import json
import shutil
import tempfile
from pathlib import Path

from core.data import sources, subset
from core.data.subset import Subset
from core.data.table import Dataset
from core.settings import Settings


def dialog(*texts: str, system: str | None = None) -> list[dict[str, str]]:
    """Return a conversation with alternating turns that begins with the user's."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system is not None else turns


def json_lines(rows: list[dict]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def open_dataset(settings: Settings, folder: Path, rows: list[dict], name: str = "rows.jsonl") -> Dataset:
    """Write rows as JSON lines and open the file."""
    path = folder / name
    path.write_text(json_lines(rows), encoding="utf-8")
    return sources.open_file(settings, path)


def open_dialogs(settings: Settings, folder: Path, conversations: list[list[dict[str, str]]], **more: list) -> Dataset:
    """Write conversations, with a further column for each keyword, and open the file."""
    rows = [
        {"messages": messages, **{name: values[i] for name, values in more.items()}}
        for i, messages in enumerate(conversations)
    ]
    return open_dataset(settings, folder, rows)


def copy_bundled(settings: Settings) -> Subset:
    """Put the opened bundled dataset and its subset into a home, and return the subset.

    Opening them takes a quarter of a CPU second, and hundreds of tests need them. They are opened once per process, and
    copied, not linked, so that a test may change its files.
    """
    shutil.copytree(_bundled_home().name, settings.home, dirs_exist_ok=True)
    return subset.ensure_bundled(settings)


@functools.cache
def _bundled_home() -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory(prefix="bundled-")
    subset.ensure_bundled(Settings(home=Path(folder.name)).prepare())
    return folder
