"""Doubts that columns beside a reading raise, whatever its format: verdicts, failures, masks, ranks, other answers.

`row_doubt` is called for every proposal, so that a new format or proposal has all of them.
"""

import contextlib
from collections.abc import Iterable, Iterator

from core.data.formats import columns as names
from core.data.formats.annotations import annotation_doubt
from core.data.formats.answer_choice import are_flags, are_statuses
from core.data.formats.answer_doubts import (
    REFERENCE_NAMES,
    failure_doubt,
    history_column,
    rank_doubt,
)
from core.data.formats.answer_lists import holds_rated_answers
from core.data.formats.cells import Cells
from core.data.formats.columns import find_column, name_words
from core.data.formats.conversation import UnusableRow
from core.data.formats.doubts import mask_doubt, second_answers, texts_in
from core.data.formats.empty_answers import empty_answers_doubt
from core.data.formats.proposal import Columns, Rows, count_filled
from core.data.formats.ratings import rating_doubt
from core.data.formats.reading import Reading, get_format
from core.data.formats.reasoning_columns import reasoning_columns
from core.data.formats.turns import is_conversation, is_message_list
from core.data.formats.unused_parts import call_doubt, gap_doubt, media_doubt, quoted_doubt
from core.data.formats.values import is_missing, nested, unfold
from core.data.formats.verdicts import is_bad_flag
from core.data.formats.withdrawn import withdrawn_doubt

# Maximum number of different values of a column that says which answers are good.
_MOST_JUDGMENTS = 6
_ANSWER_SLOTS = ("completion", "output", "chosen", "label")
# Beside a text without turns, these columns may be about the text: a weight in kilograms, a review that is good.
_ABOUT_TEXT_NAMES = ("weight", "loss_weight", "good", "feedback", "train", *names.LABEL_NAMES)
# Words of the names of flags that are about the answers.
_FLAG_WORDS = frozenset(
    ("feedback", "thumbs", "rating", "helpful", "liked", "satisfied", "approved", "accepted", "correct",
     "validated", "passed", "success", "successful", "succeeded", "resolved", "solved", "upvoted", "preferred")
)  # fmt: skip
_ABOUT_TEXT_WORDS = frozenset(
    ("good", "bad", "like", "dislike", "desirable", "undesirable", "wrong", "cancelled", "canceled")
)


def row_doubt(rows: Rows, found: Columns, reading: Reading) -> str:
    """Return why a column that `reading` does not use makes it doubtful; "" where none does."""
    # The fields of an object that a reading uses are columns.
    rows = [unfold(row, reading.columns.values()) for row in rows]
    taken = taken_columns(rows, reading)
    return next((doubt for doubt in _doubts(rows, found, reading, taken) if doubt), "")


def judgment_column(rows: Rows, found: Columns, reading: Reading) -> str | None:
    """Return a column that may say which of the answers of `reading` are good, or None."""
    return _judgment(rows, found, set(taken_columns(rows, reading).values()), reading.format in ("text", "label"))


def _doubts(rows: Rows, found: Columns, reading: Reading, taken: dict[str, str]) -> Iterator[str]:
    columns = set(taken.values())
    is_text = reading.format in ("text", "label")
    has_pair = reading.format in ("prompt_completion", "alpaca") or (reading.format == "rated" and "prompt" in taken)
    yield call_doubt(rows, found, columns) if has_pair else ""
    judged = _judgment(rows, found, columns, is_text)
    yield f"{judged!r} may say which answers are good" if judged else ""
    yield failure_doubt(rows, found, columns)
    yield withdrawn_doubt(rows, found, columns)
    yield mask_doubt(rows, found, reading)
    for slot in _ANSWER_SLOTS:
        if reading.format != "text" and slot in taken:
            yield rank_doubt(rows, found, taken[slot])
            yield quoted_doubt(rows, taken[slot])
            # A label may be the word "none".
            yield empty_answers_doubt(rows, taken[slot]) if slot != "label" else ""
    yield gap_doubt(rows, taken.values())
    yield media_doubt(rows, found, columns) if reading.format != "text" else ""
    yield annotation_doubt(rows, found, columns) if reading.format == "text" else ""
    yield rating_doubt(rows, found, reading.format, columns)
    yield _other_answer_doubt(rows, found, taken)
    yield _reasoning_doubt(rows, found, columns)
    yield _other_format_doubt(rows, found, columns, is_text)


def taken_columns(rows: Rows, reading: Reading) -> dict[str, str]:
    """Return the columns that a reading uses in any of the rows, by slot."""
    form = get_format(reading.format)
    taken: dict[str, str] = {}
    for row in rows:
        cells = Cells(row, form, reading)
        taken |= {slot: name for slot in form.slots if slot not in taken and (name := cells.column(slot))}
        if reading.format in ("paired", "multiple_choice"):
            # Numbered or lettered columns are read beside the one that is mapped.
            with contextlib.suppress(UnusableRow):
                form.parse(cells)
            taken |= {name: name for name in cells.used if name not in taken.values()}
    if reading.format == "rated" and "messages" in taken:
        # The turns are read instead of a question and an answer in columns (see `parsers`).
        taken = {slot: name for slot, name in taken.items() if slot not in ("prompt", "completion", "context")}
    return taken


def _judgment(rows: Rows, found: Columns, taken: set[str], is_text: bool) -> str | None:
    """Return a column that may say which answers are good, or None.

    Args:
        rows: The rows.
        found: Properties of the columns by name.
        taken: Columns that the reading uses.
        is_text: Whether the rows are texts without turns, so that words such as "good" may be about the text.
    """
    known = (*names.VERDICT_NAMES, *names.JUDGMENT_NAMES)
    words = names.JUDGMENT_WORDS - _ABOUT_TEXT_WORDS if is_text else names.JUDGMENT_WORDS
    for name in found:
        cells = [nested(row[name]) for row in rows if name in row and not is_missing(row[name])]
        flat = [value for cell in cells for value in (cell if are_statuses(cell) else [cell])]
        values = {str(value).strip().lower() for value in flat}
        # A list of flags is about the answers of a list (`rank_doubt`).
        if name in taken or not 1 <= len(values) <= _MOST_JUDGMENTS or count_filled(rows, name, are_flags):
            continue
        is_flag = not is_text and _is_flag_of_answers(name, values)
        named = is_flag or (find_column([name], known) and not (is_text and find_column([name], _ABOUT_TEXT_NAMES)))
        bad = {"1", "1.0", "true"} if is_bad_flag(name) else {"0", "0.0", "-1", "false", "no"}
        if values & words or (named and (len(values) > 1 or values & bad)):
            return name
    return None


def _is_flag_of_answers(name: str, values: set[str]) -> bool:
    """Return whether a column of true and false has a word in its name that judges an answer: feedback_rating."""
    return values <= {"true", "false", "yes", "no"} and bool(_FLAG_WORDS & set(name_words(name)))


def _other_answer_doubt(rows: Rows, found: Columns, taken: dict[str, str]) -> str:
    """Return the doubt that an unused column holds another answer, which no text of the reading contains."""
    answer = next((taken[slot] for slot in _ANSWER_SLOTS if slot in taken), "")
    others = second_answers(rows, found, answer)
    others += [name for name in found if find_column([name], REFERENCE_NAMES) and name not in others]
    used = [" ".join(text for name in set(taken.values()) for text in texts_in(row.get(name))) for row in rows]
    known = [" ".join(text.split()) for text in used]
    if rated := [name for name in found if name not in taken.values() and holds_rated_answers(rows, name)]:
        return f"{rated[0]!r} holds lists of rated answers, which would not be used"
    for name in others:
        if name in taken.values() or found[name].kind not in ("prose", "short"):
            continue
        filled = [
            (" ".join(str(row[name]).split()), text)
            for row, text in zip(rows, known, strict=True)
            if text and name in row and not is_missing(row[name])
        ]
        if 2 * sum(text not in content for text, content in filled) > len(filled):
            return f"{name!r} may hold another answer, which would not be used"
    return ""


def _reasoning_doubt(rows: Rows, found: Columns, taken: set[str]) -> str:
    """Return the doubt that an unused column holds answers with reasoning, such as `generation` beside `answer`."""
    known = reasoning_columns(rows, found, taken)
    for name in found:
        if name in taken or (name in known and not _is_answer_after_reasoning(rows, name)):
            continue
        if 2 * count_filled(rows, name, lambda value: "<think>" in str(value)) > len(rows):
            return f"{name!r} holds reasoning in <think> tags, may be the answer, and would not be used"
    return ""


def _is_answer_after_reasoning(rows: Rows, name: str) -> bool:
    """Return whether a text follows the reasoning in any value; quotes and brackets are those of a list."""
    values = [str(row.get(name)) for row in rows]
    return any(value.rpartition("</think>")[2].strip(" \n'\"]") for value in values if "</think>" in value)


def _other_format_doubt(rows: Rows, found: Columns, taken: set[str], is_text: bool) -> str:
    """Return the doubt that a preference pair would not be used, or a list of turns beside a text without turns."""
    free = [name for name in found if name not in taken]
    chosen, rejected = find_column(free, names.CHOSEN_NAMES), find_column(free, names.REJECTED_NAMES)
    if chosen and rejected:
        return f"{chosen!r} and {rejected!r} may be the answers"
    turns = next((name for name in free if 2 * count_filled(rows, name, _holds_turns) > len(rows)), "")
    return f"the conversations in {turns!r} would not be used" if turns and is_text else ""


def _holds_turns(value: object) -> bool:
    return is_conversation(value) or is_message_list(value)


def _are_keys(rows: Rows, answer: str) -> bool:
    """Return whether the answers are letters or numbers of options."""
    return all(len(str(row[answer]).strip()) < 3 for row in rows if answer in row and not is_missing(row[answer]))


def question_part_doubt(rows: Rows, found: Columns, taken: Iterable[str | None], answer: str | None = None) -> str:
    """Return the doubt that an unread column belongs to the question; "" where there is none.

    A copy of the whole row, such as the column `text` of Alpaca, holds the answer and is no part of the question.
    """
    columns = set(taken)
    free = [column for column in found if column not in columns]
    for want in names.QUESTION_PART_NAMES:
        name = find_column(free, (want,))
        if name is None or found[name].kind not in ("prose", "short", "nested"):
            continue
        # The letter of an option is in each list of options, which is no copy.
        has_copies = answer and not (want in names.OPTION_NAMES and _are_keys(rows, answer))
        copies = sum(str(row.get(answer)) in str(row.get(name)) for row in rows) if has_copies else 0
        if copies * 2 <= len(rows):
            return f"{name!r} may belong to the question"
    name = history_column(rows, free, answer)
    return f"{name!r} may belong to the question" if name else ""
