"""Small data sets for tests: real files, opened as a user would open them."""

import json
from pathlib import Path

from core.data import sources
from core.data.table import Dataset
from core.settings import Settings


def talk(*texts: str, system: str | None = None) -> list[dict[str, str]]:
    """A conversation whose turns alternate, the user's first."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system is not None else turns


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def opened(settings: Settings, folder: Path, rows: list[dict], name: str = "rows.jsonl") -> Dataset:
    """`rows` written as JSONL and opened."""
    path = folder / name
    path.write_text(lines(rows), encoding="utf-8")
    return sources.open_file(settings, path)


def talks(settings: Settings, folder: Path, conversations: list[list[dict[str, str]]], **more: list) -> Dataset:
    """Conversations opened, with a column for each of `more`."""
    rows = [
        {"messages": messages, **{name: values[i] for name, values in more.items()}}
        for i, messages in enumerate(conversations)
    ]
    return opened(settings, folder, rows)
