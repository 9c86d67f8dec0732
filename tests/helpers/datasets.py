"""Helpers that write small data sets to files and open them as a user would."""

import json
from pathlib import Path

from core.data import sources
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
