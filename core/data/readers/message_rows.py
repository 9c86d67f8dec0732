"""Rows that are one message each, as a database stores a chat: the rows of one conversation are joined to one row.

That is certain only where a column names the conversation, another one a usual role, the messages of a conversation
stand together, and their numbers or times grow. The page asks about all other files of messages.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from core.data.formats.columns import find_column
from core.data.formats.conversation import usual_role
from core.data.formats.doubts import CONVERSATION_NAMES, POSITION_NAMES
from core.data.formats.sides import ANSWERING, ASKING
from core.data.formats.turns import CONTENT_KEYS, ROLE_KEYS
from core.data.formats.values import is_missing, number_of_text
from core.data.readers.lines import ROW_LIMIT, SourceRow

Rows = Iterable[tuple[str, SourceRow]]
# Rows from which the layout is judged.
_SAMPLE_ROWS = 400
_TIME_NAMES = ("timestamp", "time", "ts", "created_at", "sent_at", "date", "datetime", "created")
# The list of the joined messages.
_MESSAGES = "messages"
_MIN_MESSAGES = 2
# Conversations that are remembered, to report one whose messages do not stand together.
_MAX_REMEMBERED = 1_000_000


class _Layout(NamedTuple):
    """Columns of a table of messages.

    Attributes:
        talk: The column that names the conversation.
        turn: The columns that belong to a message; all others are the same in each conversation.
    """

    talk: str
    turn: frozenset[str]


def join(rows: Rows, note: Callable[[str], None]) -> Iterator[tuple[str, SourceRow]]:
    """Yield one row per conversation, where each row is certainly one message of a conversation; other rows unchanged.

    Args:
        rows: Pairs of split and row.
        note: Callback for a sentence about the layout.
    """
    stream = iter(rows)
    head = list(itertools.islice(stream, _SAMPLE_ROWS))
    layout = _layout_of([read.row for _, read in head if read.row is not None])
    if layout is None:
        yield from itertools.chain(head, stream)
        return
    note(
        f"each row is one message; the rows of one conversation (column {layout.talk!r}) are joined to one row with "
        f"the list {_MESSAGES!r}"
    )
    yield from _joined(itertools.chain(head, stream), layout)


def _layout_of(rows: list[dict[str, Any]]) -> _Layout | None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    talk, content = find_column(names, CONVERSATION_NAMES), find_column(names, CONTENT_KEYS)
    speakers = [key for key in ROLE_KEYS if (found := find_column(names, (key,))) and _are_roles(rows, found)]
    if not talk or not content or not speakers or _MESSAGES in names or not _are_texts(rows, content):
        return None
    groups = [list(group) for _, group in itertools.groupby(rows, key=lambda row: str(row.get(talk)))]
    stands_together = len({str(group[0].get(talk)) for group in groups}) == len(groups)
    if any(is_missing(row.get(talk)) for row in rows) or not stands_together:
        return None
    # The last conversation of the sample may be cut.
    whole = groups[:-1] or groups
    if sum(map(len, whole)) < _MIN_MESSAGES * len(whole) or not all(_grows(group, names) for group in groups):
        return None
    turn = {name for name in names if any(len({str(row.get(name)) for row in group}) > 1 for group in groups)}
    speaker = find_column(names, (speakers[0],))
    return _Layout(talk, frozenset({*turn, content, str(speaker)} - {talk}))


def _are_roles(rows: list[dict[str, Any]], name: str) -> bool:
    """Return whether a column names a known side of a conversation in each row, and both sides."""
    words = {str(row.get(name)).strip().lower() for row in rows}
    sides = {usual_role(word) or _side_of(word) for word in words}
    return {"user", "assistant"} <= sides and "" not in sides


def _side_of(word: str) -> str:
    """Return the role of a speaker by a word such as customer or agent; "" for another word."""
    return "user" if word in ASKING else "assistant" if word in ANSWERING else ""


def _are_texts(rows: list[dict[str, Any]], name: str) -> bool:
    filled = [row[name] for row in rows if not is_missing(row.get(name))]
    return 2 * len(filled) > len(rows) and all(isinstance(value, str) for value in filled)


def _grows(group: list[dict[str, Any]], names: list[str]) -> bool:
    """Return whether the numbers and the times of the messages of a conversation grow, as far as it has them."""
    for wanted in (POSITION_NAMES, _TIME_NAMES):
        if name := find_column(names, wanted):
            values = [row[name] for row in group if not is_missing(row.get(name))]
            numbers = [number_of_text(value) for value in values]
            keys = [str(value) for value in values] if None in numbers else numbers
            if keys != sorted(keys):
                return False
    return True


def _joined(rows: Rows, layout: _Layout) -> Iterator[tuple[str, SourceRow]]:
    group: list[SourceRow] = []
    key: tuple[str, str] = ("", "")
    size = 0
    seen: set[int] = set()
    lost = ""
    for split, read in rows:
        if read.row is None:
            lost = f"may lack a message: line {read.line} cannot be read"
            yield split, read
            continue
        own = (split, str(read.row.get(layout.talk)))
        if group and (own != key or size > ROW_LIMIT):
            yield key[0], _conversation(group, layout, key, seen)
            group, size = [], 0
        if lost:
            read, lost = read._replace(trouble="; ".join(filter(None, (read.trouble, lost)))), ""
        key, size = own, size + len(read.raw)
        group.append(read)
    if group:
        yield key[0], _conversation(group, layout, key, seen)


def _conversation(group: list[SourceRow], layout: _Layout, key: tuple[str, str], seen: set[int]) -> SourceRow:
    """Return the row of a conversation; one that was seen before is reported."""
    troubles = [read.trouble for read in group if read.trouble]
    if hash(key) in seen:
        troubles.append(f"the conversation {key[1][:40]!r} has other messages above, which are a row of their own")
    elif len(seen) < _MAX_REMEMBERED:
        seen.add(hash(key))
    rows = [read.row or {} for read in group]
    columns = {name: value for row in reversed(rows) for name, value in row.items() if name not in layout.turn}
    # A column that differs in this conversation only belongs to its messages as well.
    differs = {name for name in columns if any(row.get(name) != columns[name] for row in rows)}
    messages = [{name: row[name] for name in row if name in layout.turn or name in differs} for row in rows]
    row = {name: value for name, value in columns.items() if name not in differs} | {_MESSAGES: messages}
    text = json.dumps(row, ensure_ascii=False)
    return SourceRow(group[0].line, row, text, "; ".join(dict.fromkeys(troubles)), group[0].split)
