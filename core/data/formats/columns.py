"""Column names of public datasets, and the kinds of values in a column (prose, categories, ids).

Names are compared without case, spaces and punctuation, so "System Prompt", "system_prompt" and "systemPrompt" are the
same name, and so are names in other languages (`translations`): "Pregunta" is "question".
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from core.data.formats.dates import is_date
from core.data.formats.translations import ENGLISH
from core.data.formats.values import is_missing

Row = Mapping[str, Any]
ColumnKind = Literal["prose", "short", "category", "id", "constant", "number", "nested", "empty"]

# Names that public datasets use for the same thing, the most common one first.
PROMPT_NAMES = (
    "prompt", "question", "query", "instruction", "instructions", "input", "inputs", "inputs_pretokenized", "problem",
    "request", "user", "human", "user_input", "user_message", "human_message", "article", "document", "dialogue",
    "source", "src", "post", "message", "title_and_body", "q",
)  # fmt: skip
COMPLETION_NAMES = (
    "completion", "response", "answer", "output", "outputs", "target", "targets", "targets_pretokenized", "answers",
    "assistant", "assistant_message", "bot", "reply", "solution", "summary", "highlights", "tgt", "a", "gold_answer",
    "gold_answers", "correct_answer", "correct_answers",
    "answer_key", "correct_option", "correct_choice",
)  # fmt: skip
# Names, some of them in COMPLETION_NAMES, of several accepted answers to the same question.
SEVERAL_ANSWERS_NAMES = (
    "answers", "solutions", "golden_answers", "gold_answers", "correct_answers", "possible_answers", "references",
    "human_answers",
)  # fmt: skip
CONTEXT_NAMES = (
    "context", "passage", "background", "knowledge", "schema", "evidence", "reference_text", "contexts", "documents",
    "passages", "docs", "retrieved_contexts", "retrieved_context", "retrieved_documents", "retrieved_docs",
    "retrieved_passages", "context_documents", "search_results", "chunks", "retrieved_chunks", "supporting_documents",
    "retrieval_context", "reference_contexts", "gold_contexts", "ground_truth_contexts",
)  # fmt: skip
SYSTEM_NAMES = ("system", "system_prompt", "system_message", "system_instruction", "sys_prompt")
TOOL_NAMES = ("tools", "functions", "available_tools")
TURN_NAMES = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns", "contents")
TEXT_NAMES = ("text", "content", "document", "body", "paragraph", "passage")
LABEL_NAMES = (
    "label", "labels", "sentiment", "class", "category", "target", "intent", "emotion", "topic", "rating",
    "coarse_label", "label_text", "gold_label",
)  # fmt: skip
# Names in LABEL_NAMES that always mean a label; a "topic" or "rating" may be a remark about the text.
SURE_LABEL_NAMES = (
    "label",
    "labels",
    "sentiment",
    "class",
    "intent",
    "emotion",
    "coarse_label",
    "label_text",
    "gold_label",
)
# Numbers of labels; without the names of the classes they may be either.
LABEL_ID_NAMES = tuple(f"{name}_id" for name in LABEL_NAMES)
CHOSEN_NAMES = ("chosen", "preferred_output", "chosen_response", "preferred", "accepted", "response_j")
REJECTED_NAMES = (
    "rejected", "non_preferred_output", "rejected_response", "dispreferred", "nonpreferred_output", "response_k",
)  # fmt: skip
OPTION_NAMES = ("options", "choices", "endings")
# Columns that may hold a part of the question. One of these that nothing reads raises a doubt.
QUESTION_PART_NAMES = (
    *TEXT_NAMES, *CONTEXT_NAMES, "article", *OPTION_NAMES, "history", "chat_history", "story",
    "premise", "hypothesis", "sentence", "message", "preamble",
)  # fmt: skip
# Columns that may say which answers are good, beside those that the format "rated" reads, and words that say so.
JUDGMENT_NAMES = (
    "is_correct", "correct", "is_safe", "thumbs_up", "thumbs", "feedback", "accepted", "approved", "is_good", "good",
    "is_bad", "kto_label", "train", "trained", "weight", "loss_weight", "keep", "include", "exclude", "deleted",
    "fuzzy", "needs_editing", "needs_review", "needs_work", "needs_rework",
)  # fmt: skip
JUDGMENT_WORDS = frozenset(
    ("good", "bad", "desirable", "undesirable", "accept", "reject", "accepted", "rejected", "approved", "thumbs_up",
     "thumbs_down", "like", "dislike", "deleted", "flagged", "wrong", "incorrect", "ignore", "ignored", "approve",
     "disapproved", "decline", "declined", "discard", "discarded", "skip", "skipped", "invalid", "cancelled",
     "canceled")
)  # fmt: skip
VERDICT_NAMES = ("label", "labels", "kto_tag", "desirable", "is_desirable")

_ID_NAME = re.compile(
    r"(^|.*[_\-. ])(id|ids|uuid|guid|hash|sha|md5|sha256|key|index|idx|no|nr|url|uri|link|path|file|filename|date|time|"
    r"timestamp|created|created_at|updated_at|lang|language|locale|source|split)$|.*(Id|ID|Url|Hash)$"
)
_ID_VALUE = re.compile(
    r"[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}|https?://\S+|\d{4}-\d\d-\d\d\S*|[A-Za-z]*[_\-:./#]?\d[\w\-:./#]*|\S*[/\\]\S*"
)
# Words of a column of dates.
_DATE_WORDS = frozenset(
    ("date", "dates", "time", "timestamp", "datetime", "day", "created", "updated", "modified", "posted", "published",
     "added", "submitted", "at", "on", "datum", "fecha")
)  # fmt: skip
# Remarks that a form adds to the name of a column: "Question - max 120 characters", "Answer (required)".
_NAME_REMARK = re.compile(
    r"\s*(?:[-–—:]\s|[(\[]).*\b(?:max|min|maximum|minimum|required|optional|mandatory|characters|chars|choose|select|"
    r"at least|up to)\b.*",
    re.IGNORECASE,
)
# Values of prose have at least this many words on average; in scripts without spaces, two characters count as one word.
_MIN_PROSE_WORDS = 3
# A column with more different values than this is not a column of categories.
_MAX_CATEGORIES = 20
# A category occurs at least this often on average.
_MIN_REPETITIONS = 4


@cache
def folded_name(name: str) -> str:
    """Return a column name in the form in which names are compared: lower case, letters and digits only, in English."""
    # macOS writes an accented letter as two characters.
    folded = _letters(without_remark(unicodedata.normalize("NFC", name)))
    return _ENGLISH.get(folded, folded)


def without_remark(name: str) -> str:
    """Return a column name without the remark of a form on what to enter; one that is nothing else is unchanged."""
    return _NAME_REMARK.sub("", name) or name


def _letters(name: str) -> str:
    return re.sub(r"[^\w]|_", "", name).casefold()


_ENGLISH = {_letters(name): _letters(english) for name, english in ENGLISH.items()}


def name_words(name: str) -> list[str]:
    """Return the words of a column's name in lower case and English: those of "questionText" are question and text."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    words = (word.lower() for word in re.findall(r"[^\W\d_]+", spaced))
    return [_ENGLISH.get(word.casefold(), word) for word in words]


def find_column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the column of `names` that matches the earliest of the `wanted` names, or None."""
    by_folded_name: dict[str, str] = {}
    for name in names:
        by_folded_name.setdefault(folded_name(name), name)
    for want in wanted:
        if want in names:
            return want
        if found := by_folded_name.get(folded_name(want)):
            return found
    return None


@dataclass(frozen=True)
class Column:
    """Properties of a column in the first rows.

    Attributes:
        name: Name of the column.
        kind: Kind of its values.
        share: Share of the rows in which it holds a value.
        characters: Total length of its texts.
        values: Number of different texts, numbers and booleans.
    """

    name: str
    kind: ColumnKind
    share: float
    characters: int
    values: int


def profile(rows: Sequence[Row]) -> dict[str, Column]:
    """Return the properties of the columns of `rows` by name."""
    cells: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            found = cells.setdefault(name, [])
            if not is_missing(value):
                found.append(value)
    return {name: _column(name, found, len(rows)) for name, found in cells.items()}


def _column(name: str, values: list[Any], rows: int) -> Column:
    texts = [value for value in values if isinstance(value, str)]
    flat = [value for value in values if isinstance(value, (str, int, float, bool))]
    different = len({str(value) for value in flat})
    return Column(
        name=name,
        kind=_kind(name, values, texts, flat, different),
        share=len(values) / rows if rows else 0.0,
        characters=sum(map(len, texts)),
        values=different,
    )


def _kind(name: str, values: list[Any], texts: list[str], flat: list[Any], different: int) -> ColumnKind:
    if not values:
        return "empty"
    if len(flat) * 2 < len(values):
        return "nested"
    if len(texts) * 2 < len(flat):
        return "category" if different <= _MAX_CATEGORIES and len(flat) >= _MIN_REPETITIONS * different else "number"
    if different == 1 and len(texts) > 2:
        return "constant"
    named_id = bool(_ID_NAME.match(name)) and not find_column([name], LABEL_ID_NAMES)
    is_repeated = different <= _MAX_CATEGORIES and len(texts) >= _MIN_REPETITIONS * different
    if is_repeated and max(map(len, texts)) <= 80 and not named_id:
        return "category"
    # The values decide before the name: a column called "source" may hold ids or whole sentences.
    if all(_ID_VALUE.fullmatch(text.strip()) for text in texts):
        return "id"
    # Without such a name, dates may be the answers to questions.
    if _DATE_WORDS & set(name_words(name)) and all(map(is_date, texts)):
        return "id"
    if _is_prose(texts):
        return "prose"
    if named_id:
        return "id"
    return "category" if len(texts) > 2 * different else "short"


def _is_prose(texts: list[str]) -> bool:
    """Return whether texts have the length of sentences: several words, or characters of a script without spaces."""
    # U+2E80 is the start of the CJK blocks.
    words = sum(len(text.split()) + sum(ord(c) > 0x2E80 for c in text[:200]) / 2 for text in texts)
    return words >= _MIN_PROSE_WORDS * len(texts)
