"""Conversations in a column of turns, with the first message where a column of its own holds it."""

from typing import Any

from core.data.formats.api_bodies import request_of
from core.data.formats.cells import Cells
from core.data.formats.conversation import Message, UnusableRow
from core.data.formats.envelopes import take_tools
from core.data.formats.speaker_order import find_author_key, identity_of
from core.data.formats.system_parts import add_to_system
from core.data.formats.turn_order import in_order
from core.data.formats.turns import read_turns, speakers_of, text_in_turn
from core.data.formats.values import is_missing, nested, note_empty_answer, text_of


def read_conversation(cells: Cells, slot: str) -> list[Message]:
    """Return the messages of a column of turns.

    Raises:
        UnusableRow: The column is empty, or holds no turns.
    """
    value = cells.get(slot)
    if value is None:
        raise UnusableRow(f"{slot} is empty")
    return turns_of(value, cells)


def turns_of(value: Any, cells: Cells, asker: str = "") -> list[Message]:
    """Return the messages of a list of turns, and note answers that may stand for none.

    Args:
        value: The turns, or the request to a model that holds them with its tools.
        cells: The cells of the row.
        asker: The author who counts as the first speaker; "" for the author of the first turn.
    """
    value, tools = take_tools(request_of(value), cells.note)
    messages = read_turns(value, cells.note, cells.think, cells.role, asker)
    for message in messages:
        if message["role"] == "assistant":
            note_empty_answer(message["content"], "an answer", cells.note)
    return add_to_system(messages, "", tools, cells.note)


def read_opened_conversation(cells: Cells) -> list[Message]:
    """Return the messages of the column of turns after those of the first message, if a column holds it.

    Raises:
        UnusableRow: The column of turns is missing, or holds no turns.
    """
    if not cells.reading.columns.keys() & {"opening", "asker"}:
        return read_conversation(cells, "messages")
    asker, opening = identity_of(nested(cells.get("asker"))), nested(cells.get("opening"))
    turns = nested(cells.get("messages"))
    if not isinstance(turns, list):
        raise UnusableRow("messages is empty" if is_missing(turns) else "messages is no list of turns")
    if is_missing(opening):
        return turns_of(turns, cells, asker)
    first = next((text_in_turn(turn) for turn in turns), "")
    if not isinstance(opening, dict):
        opening = {"role": "user", "content": text_of(opening, "the first message", cells.note)}
        # Without the author of the first message, each of the others answers it.
        asker = asker or "(unknown)"
    elif not speakers_of(opening) and not find_author_key(opening):
        opening = {**opening, "role": "user"}
    if text_in_turn(opening) == first:
        return turns_of(turns, cells, asker.removeprefix("(unknown)"))
    # The first message has no number, by which the others are sorted.
    return turns_of([opening, *in_order(turns, cells.note)], cells, asker)
