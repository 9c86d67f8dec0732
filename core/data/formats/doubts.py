"""Columns that make an otherwise certain reading doubtful, because two columns may hold the same part of a row."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from core.data.formats import columns as names
from core.data.formats.chat_rows import chat_doubt
from core.data.formats.columns import find_column
from core.data.formats.conversation import UnusableRow, usual_role
from core.data.formats.counted_rows import counted_doubt
from core.data.formats.loss_flags import LOSS_KEYS, SKIP_KEYS, UNCLEAR_KEYS
from core.data.formats.proposal import (
    QUESTION_NAMES,
    Columns,
    Proposal,
    Rows,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.reading import Reading
from core.data.formats.reply_rows import reply_doubt
from core.data.formats.turns import CONTENT_KEYS, ROLE_KEYS, are_entries, is_conversation
from core.data.formats.values import is_absent, nested

# Values that name one of several answers, such as 1, "B", "response_2" or "model_a".
_REFERENCE = re.compile(r"\d{1,2}|[A-Za-z]|[A-Za-z]+[_ -](?:\d{1,2}|[A-Za-z])")
# Words of a column's name that make it an answer: "corrected_response", "answer_2".
_ANSWER_WORDS = frozenset(("response", "answer", "output", "completion", "reply", "solution", "target", "attempt"))
# Names of a column that is always the answer, even if all its values are the same.
_SURE_ANSWER_NAMES = ("completion", "response", "answer", "output")
# Columns of masks and weights, beside the flags that a turn may have.
_MASK_NAMES = (
    *LOSS_KEYS, *SKIP_KEYS, *UNCLEAR_KEYS, "train_mask", "training_mask", "loss_masks", "masks", "weights",
    "loss_weights", "turn_weights", "turn_mask", "label_mask", "assistant_mask", "assistant_masks", "assistant_only",
    "sample_weight", "train_flags", "is_trained",
)  # fmt: skip
_NUMBER = re.compile(r"true|false|-?\d+(?:\.\d+)?(?:e-?\d+)?")
# Values of a mask that exclude nothing, and those of a flag that skips nothing.
_ALL_WITH_LOSS, _NONE_SKIPPED = frozenset(("1", "1.0", "true")), frozenset(("0", "0.0", "false"))
# Columns that say to which conversation, or to which position in it, a row belongs.
CONVERSATION_NAMES = (
    "conversation_id", "conv_id", "dialog_id", "dialogue_id", "chat_id", "session_id", "thread_id", "convo_id",
    "call_id", "conversation_no", "conversation_number", "dialogue_no", "ticket_id", "ticket_number", "case_id",
    "case_number",
)  # fmt: skip
POSITION_NAMES = (
    "turn", "turn_id", "turn_number", "turn_index", "turn_idx", "turn_no", "message_index", "message_idx",
    "message_number", "message_no", "utterance_id", "utterance_idx", "utterance_index", "utterance_no", "seq",
    "sequence_number",
)  # fmt: skip
# A label at the beginning of a line of an answer, which may be the speaker of a turn: "DATABASE:", "### Lookup:".
_SPEAKER_LINE = re.compile(r"^(?:#{1,4} )?[A-Z][\w -]{1,23}:", re.MULTILINE)
_MIN_ROWS_OF_SPEAKER = 3
# Other names than QUESTION_NAMES of a column that is the user's turn and nothing else.
_USER_NAMES = ("user", "human", "user_input", "user_message", "human_message")
# Columns that Alpaca's `instruction` reads as its input, so that they are no second question.
_INPUT_NAMES = ("input", "inputs")


def second_question(rows: Rows, found: Columns, prompt: str, answer: str) -> str | None:
    """Return another column that may be the user's turn as well as `prompt`, or None.

    A column that repeats the prompt, or the answer with the prompt, is a copy and no second question.
    """
    is_alpaca = find_column([prompt], ("instruction", "instructions", "definition", "task_description"))
    for want in (*QUESTION_NAMES, *_USER_NAMES):
        name = find_column([name for name in found if name not in (prompt, answer)], (want,))
        if name is None or found[name].kind not in ("prose", "short") or (is_alpaca and want in _INPUT_NAMES):
            continue
        if not (holds(rows, name, prompt) or holds(rows, prompt, name) or holds(rows, name, answer)):
            return name
    return None


def second_answers(rows: Rows, found: Columns, answer: str) -> list[str]:
    """Return the other columns that may hold the answer as well as `answer`: response, corrected_response, answer_2.

    A short text that is a part of the answer, such as the result of a solution, is no second answer.
    """
    others = []
    for name in found:
        kind, words = found[name].kind, re.split(r"[\W_\d]+|(?<=[a-z])(?=[A-Z])", name)
        if find_column([name], _SURE_ANSWER_NAMES):
            is_answer = kind not in ("empty", "number")
        else:
            named = find_column([name], names.COMPLETION_NAMES) or {word.lower() for word in words} & _ANSWER_WORDS
            is_answer = bool(named) and kind in ("prose", "short")
        if name != answer and is_answer and not (kind != "prose" and holds(rows, answer, name)):
            others.append(name)
    return others


def holds(rows: Rows, outer: str, inner: str) -> bool:
    """Return whether the text of one column is a part of that of another in most rows."""
    return 2 * sum(str(row.get(inner)).strip() in str(row.get(outer)) for row in rows) > len(rows)


def text_outside_doubt(rows: Rows, found: Columns, turns: str) -> str:
    """Return the doubt that a question or an answer stands beside the conversation in a column, not in it.

    The conversation is then a history of the turns before that question. A copy of one of its turns raises no doubt.
    """
    contents = [" ".join(texts_in(row.get(turns))).split() for row in rows]
    known = [" ".join(words) for words in contents]
    for name in found:
        is_named = find_column([name], (*QUESTION_NAMES, *_USER_NAMES, *names.COMPLETION_NAMES))
        if name == turns or not is_named or found[name].kind not in ("prose", "short"):
            continue
        texts = [" ".join(str(row.get(name)).split()) for row in rows]
        outside = sum(text not in content for text, content in zip(texts, known, strict=True))
        if 2 * outside > len(rows):
            return (
                f"the text of {name!r} is not in the conversation of {turns!r}, and would not be used; "
                "put it into the list of turns, or leave the column out"
            )
    return ""


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in a value of any depth; one written as JSON is read."""
    value = nested(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts_in(part)


def constant_as_system(rows: Rows, found: Columns, constant: str, question: str, answer: str) -> Proposal:
    """Propose a column that is the same in all rows as the system prompt of the questions in another column."""
    rest = [name for name in found if name not in (constant, question, answer)]
    slots = {"prompt": question, "completion": answer, "system": constant}
    slots |= {"context": find_column(rest, names.CONTEXT_NAMES), "tools": find_column(rest, names.TOOL_NAMES)}
    evidence = f"a question in {question!r} and an answer in {answer!r}, with {constant!r} as the system prompt"
    doubt = f"{constant!r}, the same in all rows, may be the system prompt or a part of the question in {question!r}"
    return make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, question, answer), doubt)


def message_doubt(rows: Rows, found: Columns) -> str:
    """Return the doubt that each row is one message of a conversation; "" where it is not.

    The column of the speaker holds usual roles, or any names beside the number of a conversation or a turn.
    """
    every = [name for name in found if found[name].kind != "empty"]
    content = find_column(every, CONTENT_KEYS)
    number = find_column(every, CONVERSATION_NAMES + POSITION_NAMES)
    for key in ROLE_KEYS:
        speaker = find_column([name for name in every if name != content], (key,))
        if not speaker or not content:
            continue
        usual = count_filled(rows, speaker, lambda value: usual_role(str(value).strip()) is not None)
        if 2 * usual > count_filled(rows, speaker, lambda value: True) or number:
            return (
                f"each row is one message (columns {speaker!r} and {content!r}); put all messages of a conversation, "
                "in order, into one row as a list of objects with role and content"
            )
    talk, position = find_column(every, CONVERSATION_NAMES), find_column(every, POSITION_NAMES)
    if content and talk and position and _comes_back(rows, talk):
        return (
            f"each row is one message ({content!r}) of the conversation in {talk!r}; put all messages of a "
            "conversation, in order, into one row as a list of objects with role and content"
        )
    return chat_doubt(rows, found) or reply_doubt(rows, found) or counted_doubt(rows, found)


def _comes_back(rows: Rows, name: str) -> bool:
    """Return whether most values of a column are in several rows."""
    counts = Counter(str(row.get(name)) for row in rows)
    return 2 * sum(count for count in counts.values() if count > 1) > len(rows)


def message_list_doubt(rows: Rows, found: Columns) -> str:
    """Return the doubt that a column holds lists of messages whose speakers no field names; "" where none does."""
    for name in found:
        values = [nested(row[name]) for row in rows if name in row and not is_absent(row[name])]
        messages = [item for value in values if isinstance(value, list) for item in value if isinstance(item, dict)]
        fields = [find_column(list(message), CONTENT_KEYS) for message in messages]
        is_other = any(map(is_conversation, values)) or are_entries(messages)
        if len(messages) > len(values) and all(fields) and not is_other:
            return (
                f"{name!r} holds lists of messages with their text in {fields[0]!r}, and no field says who asks and "
                "who answers; give each message the field role, user or assistant"
            )
    return ""


def mask_doubt(rows: Rows, found: Columns, reading: Reading) -> str:
    """Return the doubt that a column says which turns or rows carry loss; "" where none excludes anything.

    In plain text and text with a label, a column such as "weight" may be about the text, so only lists count.
    """
    is_text = reading.format in ("text", "label")
    for name in found:
        if not find_column([name], _MASK_NAMES) or name in reading.columns.values():
            continue
        cells = [nested(row[name]) for row in rows if name in row and not is_absent(row[name])]
        lists = [cell if isinstance(cell, list) else [cell] for cell in cells if isinstance(cell, list) or not is_text]
        flat = [value for cell in lists for value in cell]
        # A number may have a decimal comma.
        values = {str(value).strip().lower().replace(",", ".") for value in flat}
        neutral = _NONE_SKIPPED if find_column([name], SKIP_KEYS) else _ALL_WITH_LOSS
        if values - neutral and all(_NUMBER.fullmatch(value) for value in values):
            return (
                f"{name!r} may say which answers carry loss, but no column is read for that; "
                "give each answer without loss the field train = false, or leave such rows out"
            )
    return ""


def speaker_doubt(rows: Rows, reading: Reading) -> str:
    """Return the doubt that a marked text names a speaker that its style does not know, such as 'DATABASE:'.

    The turn of such a speaker is read as a part of the answer before it, so that two answers follow each other.
    """
    counts: Counter[str] = Counter()
    for row in rows:
        try:
            messages = reading.parse(row)
        except UnusableRow:
            continue
        pairs = itertools.pairwise(messages)
        answers = [first["content"] for first, second in pairs if first["role"] == second["role"] == "assistant"]
        counts.update({label for answer in answers for label in _SPEAKER_LINE.findall(answer)})
    label, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    if count < _MIN_ROWS_OF_SPEAKER or 2 * count <= len(rows):
        return ""
    return (
        f"{label!r} may mark a turn of its own, and would be trained as a part of the answer; "
        "write 'Tool:' in its place, in the spelling of the other marks, if it is the result of a tool"
    )


def reference_doubt(rows: Rows, found: Columns, chosen: str) -> str:
    """Return the doubt that a column names the better answer by its number or letter; "" where it holds the answer."""
    several = _has_several_answers(rows, found, chosen)

    def is_reference(value: object) -> bool:
        if isinstance(value, (bool, int, float)):
            return True
        text = str(value).strip()
        return text in found or (several and _REFERENCE.fullmatch(text) is not None)

    if 2 * count_filled(rows, chosen, is_reference) <= count_filled(rows, chosen, lambda value: True):
        return ""
    return (
        f"{chosen!r} holds numbers or names of answers, not their texts; put the text of the chosen answer of each row "
        "into a column of its own"
    )


def _has_several_answers(rows: Rows, found: Columns, chosen: str) -> bool:
    """Return whether other columns hold several answers: as a list, or as numbered columns."""

    def is_list(value: object) -> bool:
        value = nested(value)
        return isinstance(value, list) and len(value) > 1 and not is_conversation(value)

    numbered = [name for name in found if re.fullmatch(r"(response|answer|completion|output)s?[_ -]?[0-9a-zA-Z]", name)]
    return len(numbered) > 1 or any(count_filled(rows, name, is_list) for name in found if name != chosen)
