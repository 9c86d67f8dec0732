"""Parsing of lists of turns in every spelling of role and content that public datasets use.

Three kinds of fields of a turn change the message: the role and the content; flags such as `weight: 0`, which exclude
an answer from the loss; and reasoning, which is written before the answer in <think> tags or left out, by the reading
options. All other fields are reported in the notes of the row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from core.data.formats.channels import join_channels
from core.data.formats.conversation import Message, Role, UnusableRow, usual_role
from core.data.formats.html_twins import plain_field
from core.data.formats.loss_flags import LOSS_KEYS, SKIP_KEYS, UNCLEAR_KEYS, loss_flag
from core.data.formats.response_items import are_items, turns_of_items
from core.data.formats.speaker_order import with_ordered_roles
from core.data.formats.turn_order import in_order
from core.data.formats.turn_parts import Parts, note_unused
from core.data.formats.turn_spellings import is_event, is_private, visibility_flags, with_role
from core.data.formats.values import Note, is_absent, is_missing, nested, optional_text, text_of

ROLE_KEYS = (
    "role", "from", "author_role", "sender_role", "speaker_role", "user_role", "author_type", "sender_type",
    "speaker_type", "user_type", "sender", "speaker", "author", "participant", "who", "actor",
    "direction",
)  # fmt: skip
CONTENT_KEYS = (
    "content", "value", "text", "message", "parts", "utterance", "body", "body_text", "plain_body", "body_plain",
    "text_body", "content_text", "message_text", "msg", "mes",
)  # fmt: skip
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
# Fields of a part of a text, which is no message.
_PART_KEYS = frozenset(
    ("start", "end", "offset", "start_offset", "end_offset", "label", "labels", "entity", "entity_type", "bbox",
     "answer_start", "tag", "span")
)  # fmt: skip
# Messages of a conversation have at least this many words on average.
_MIN_MESSAGE_WORDS = 2
CALL_KEYS = (
    "tool_calls", "function_call", "tool_call", "tool_invocations", "toolInvocations", "toolinvocations", "toolCalls",
    "toolcalls", "function_calls",
)  # fmt: skip
RoleOf = Callable[[str], Role | None]
# Names of the two fields of a question and its answer (Capybara and others).
PAIR_KEYS = (
    ("input", "output"), ("user", "assistant"), ("human", "assistant"), ("question", "answer"), ("prompt", "response"),
    ("prompt", "completion"), ("instruction", "output"), ("instruction", "response"), ("query", "response"),
)  # fmt: skip


def is_turn(value: Any) -> bool:
    """Return whether an object has a role and a content."""
    if not isinstance(value, dict):
        return False
    value = _usual_keys(value)
    return any(isinstance(value.get(key), str) for key in ROLE_KEYS) and any(
        key in value for key in (*CONTENT_KEYS, *CALL_KEYS)
    )


def _usual_keys(turn: dict[str, Any]) -> dict[str, Any]:
    """Return a turn with lower-case field names, or with the role found otherwise, if it has no role field."""
    return turn if any(isinstance(turn.get(key), str) for key in ROLE_KEYS) else with_role(turn, ROLE_KEYS)


def find_role_key(turn: dict[str, Any], role_of: RoleOf) -> str:
    """Return the field of a turn that names a known role, or else the first that may name one."""
    keys = [key for key in ROLE_KEYS if key in turn]
    return next((key for key in keys if role_of(str(turn[key]))), keys[0] if keys else "role")


def pair_keys(value: Any) -> tuple[str, str] | None:
    """Return the names of the fields that hold a question and its answer, or None."""
    if not isinstance(value, dict):
        return None
    return next((pair for pair in PAIR_KEYS if pair[0] in value and pair[1] in value), None)


def is_conversation(value: Any) -> bool:
    """Return whether a value is a list of turns or of question and answer pairs, also one written as text."""
    value = nested(value)
    if not isinstance(value, list) or not value:
        return False
    return is_turn(value[0]) or pair_keys(value[0]) is not None or are_items(value)


def speakers_of(turn: Any) -> list[str]:
    """Return the names in the fields of a turn that may hold its role."""
    usual = _usual_keys(turn) if isinstance(turn, dict) else {}
    return [usual[key] for key in ROLE_KEYS if isinstance(usual.get(key), str)]


def speaker_of(turn: dict[str, Any]) -> str:
    """Return the name in the field of a turn that names its role, or may name it; "" without one."""
    turn = _usual_keys(turn)
    name = turn.get(find_role_key(turn, usual_role))
    return name if isinstance(name, str) else ""


def text_in_turn(turn: Any) -> str:
    """Return the text of a turn without spaces around it; "" for a content of another kind."""
    fields = {str(key).lower(): item for key, item in turn.items()} if isinstance(turn, dict) else {}
    content = next((fields[key] for key in CONTENT_KEYS if not is_missing(fields.get(key))), None)
    return content.strip() if isinstance(content, str) else ""


# Names of a value in a list of fields.
_ENTRY_KEYS = frozenset(("field", "key", "property", "attribute", "param", "parameter"))


def is_message_list(value: Any) -> bool:
    """Return whether a value is a list of objects, most of which hold the text of a message.

    The marked parts of a text, such as the names in it, have a position or a label; they are short, too.
    """
    value = nested(value)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    if any(_PART_KEYS & {str(key).lower() for key in item} for item in value):
        return False
    if are_entries(value):
        return False
    texts = [text for item in value if (text := text_in_turn(item))]
    # U+2E80 is the start of the CJK blocks, whose texts have no words to count.
    words = sum(len(text.split()) + sum(ord(c) > 0x2E80 for c in text[:200]) for text in texts)
    return 2 * len(texts) >= len(value) and words >= _MIN_MESSAGE_WORDS * len(texts) > 0


def are_entries(items: Iterable[dict[str, Any]]) -> bool:
    """Return whether objects are fields with their values, such as {"field": "status", "value": "solved"}."""
    return all("value" in item and _ENTRY_KEYS & {str(key).lower() for key in item} for item in items)


def has_usual_speaker(rows: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Return whether a turn in a column has a speaker of a usual role, or is a question with its answer."""
    turns = (turn for row in rows if is_conversation(row.get(name)) for turn in nested(row[name]))
    for turn in turns:
        if pair_keys(turn):
            return True
        if any(map(usual_role, speakers_of(turn))):
            return True
    return False


def read_turns(
    value: Any, note: Note, think: bool = True, role_of: RoleOf = usual_role, asker: str = ""
) -> list[Message]:
    """Return the messages of a list of turns, of pairs, or of texts that alternate between user and assistant.

    Args:
        value: The list, or a text cell that spells it as JSON or as a Python literal.
        note: Callback for one sentence about each field that is not used.
        think: Whether to write reasoning into the answer; otherwise it is left out with a note.
        role_of: Returns the role of a speaker, or None for an unknown one.
        asker: The author who counts as the first speaker; "" for the author of the first turn.

    Raises:
        UnusableRow: The value is not such a list, or a turn cannot be parsed.
    """
    value = nested(value)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        note_unused(value, {"messages"}, "the conversation", note)
        value = value["messages"]
        # LangSmith stores a batch of one conversation.
        value = value[0] if len(value) == 1 and isinstance(value[0], list) else value
    if not isinstance(value, (list, tuple)):
        raise UnusableRow("the conversation is not a list of turns")
    value = turns_of_items(value) if are_items(value) else value
    if value and isinstance(value[0], str) and all(isinstance(turn, str) for turn in value):
        note("the texts of a list are read as turns by their position: user, assistant, user and so on")
        return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(value)]
    turns = with_ordered_roles(in_order(value, note), role_of, lambda turn: _has_role(turn, role_of), asker)
    return _read_each(turns, note, think, role_of)


def _read_each(turns: Sequence[Any], note: Note, think: bool, role_of: RoleOf) -> list[Message]:
    messages: list[Message] = []
    for turn in join_channels(list(turns)):
        if is_private(turn):
            note("internal notes (public = false and the like) are left out")
            continue
        if is_event(turn):
            note("events without a text, such as an assignment, are left out")
            continue
        # Nearly all turns of public datasets take this path, so it comes first.
        if isinstance(turn, dict) and (plain := _plain_turn(turn, role_of)) is not None:
            messages.append(plain)
        elif pair := pair_keys(turn):
            messages += _read_pair(turn, pair, messages, note)
        elif isinstance(turn, dict):
            messages.append(read_turn(turn, note, think, role_of))
        else:
            raise UnusableRow("a turn is not an object with a role and a content")
    return messages


def _has_role(turn: dict[str, Any], role_of: RoleOf) -> bool:
    return pair_keys(turn) is not None or any(role_of(name) for name in speakers_of(turn))


def _read_pair(turn: dict[str, Any], pair: tuple[str, str], before: list[Message], note: Note) -> list[Message]:
    """Return a question and its answer, with the system prompt in front of them and the flags of an answer's loss.

    XTuner's pairs have all of these. A system prompt that repeats the last one before changes nothing.
    """
    system = optional_text(turn["system"], "the system prompt of a turn", note) if "system" in turn else ""
    flags = {key: turn[key] for key in (*LOSS_KEYS, *SKIP_KEYS, *UNCLEAR_KEYS) if key in turn and key not in pair}
    note_unused(turn, {*pair, *flags, "system"}, "a turn", note)
    question, answer = (text_of(turn[key], key, note) for key in pair)
    messages: list[Message] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if flags and loss_flag(flags, "assistant", note) is False:
        messages[1]["loss"] = False
    last = next((message["content"] for message in reversed(before) if message["role"] == "system"), "")
    return [{"role": "system", "content": system}, *messages] if system.strip() and system != last else messages


def read_turn(turn: dict[str, Any], note: Note, think: bool = True, role_of: RoleOf = usual_role) -> Message:
    """Return one turn as a message.

    Args:
        turn: The object with role, content and further fields.
        note: Callback for one sentence about each field that is not used.
        think: Whether to write reasoning into the answer; otherwise it is left out with a note.
        role_of: Returns the role of a speaker, or None for an unknown one.

    Raises:
        UnusableRow: The role is unknown, or the content is missing or not text.
    """
    turn = _usual_keys(turn)
    role_key = find_role_key(turn, role_of)
    role = role_of(str(turn.get(role_key)))
    if role is None:
        raise UnusableRow(f"unknown role {str(turn.get(role_key))[:40]!r}; name it under Roles")
    content_key = next((key for key in CONTENT_KEYS if not is_missing(turn.get(key))), None)
    content_key = plain_field(turn, content_key) if content_key else None
    used = {role_key, content_key, *CALL_KEYS, *REASONING_KEYS, *LOSS_KEYS, *SKIP_KEYS, *UNCLEAR_KEYS}
    note_unused(turn, used | visibility_flags(turn), "a turn", note)
    parts = Parts(note)
    parts.add(turn.get(content_key) if content_key else _empty_content(turn))
    for key in CALL_KEYS:
        if not _is_no_call(turn.get(key)):
            parts.add_call(turn[key])
    for key in REASONING_KEYS:
        if not is_missing(turn.get(key)):
            parts.reasoning.append(text_of(turn[key], f"the field {key!r} of a turn", note))
    # Anthropic sends the results of tools in a user turn; a user turn of nothing else is a tool turn.
    if parts.results and role == "user" and not parts.texts:
        role = "tool"
    message: Message = {"role": role, "content": parts.content(f"the {role} turn", role, think)}
    if loss_flag(turn, role, note) is False:
        message["loss"] = False
    return message


def _plain_turn(turn: dict[str, Any], role_of: RoleOf) -> Message | None:
    """Return the message of a turn that has a role, a text and nothing else; None for any other turn."""
    if len(turn) != 2:
        return None
    role, content = (turn["role"], turn.get("content")) if "role" in turn else (turn.get("from"), turn.get("value"))
    known = role_of(role) if isinstance(role, str) and isinstance(content, str) else None
    return None if known is None else {"role": known, "content": content}


def _is_no_call(value: Any) -> bool:
    """Return whether a field holds no tool call; a call whose arguments are all null is a call."""
    return is_absent(value) or (not value if isinstance(value, (list, dict)) else is_missing(value))


def _empty_content(turn: dict[str, Any]) -> Any:
    """Return the content of a turn whose content is an empty text; None if the turn has no content field."""
    return next((turn[key] for key in CONTENT_KEYS if isinstance(turn.get(key), str)), None)
