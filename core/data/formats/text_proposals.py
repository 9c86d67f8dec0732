"""Proposals of readings of a single text column: marked turns, a text with a label, plain text."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from core.data.formats import columns as names
from core.data.formats.columns import find_column, folded_name, name_words
from core.data.formats.conversation import UnusableRow
from core.data.formats.dates import is_date
from core.data.formats.doubts import message_doubt, message_list_doubt, speaker_doubt
from core.data.formats.flag_labels import flags_doubt
from core.data.formats.marks import style_of
from core.data.formats.object_fields import objects_doubt, spells_json
from core.data.formats.options import FormatName
from core.data.formats.pair_names import is_negative
from core.data.formats.preference_proposals import find_choices
from core.data.formats.proposal import (
    QUESTION_NAMES,
    Columns,
    Proposal,
    Rows,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.reading import Reading, get_format
from core.data.formats.text_layouts import alternation_doubt
from core.data.formats.unlisted_marks import marks_doubt
from core.data.formats.unused_parts import numbered_turns_doubt, survey_doubt
from core.data.formats.values import is_missing, number_of_text
from core.data.formats.worded_pairs import propose_worded
from core.data.listing import list_some
from core.system.counting import counted

# Different values of a column that may be a label although its name does not say so.
_MAX_UNNAMED_LABELS = 20
# The names of columns in a table without a header, and how many different numbers may be the labels in one of them. The
# first rows of a file that is sorted by its label hold only one.
_UNNAMED = re.compile(r"column_\d+")
_MAX_UNNAMED_NUMBERS = 5
# Different values of a column named like a label. One is enough there: the first rows of a file sorted by label
# contain only one.
_MAX_NAMED_LABELS = 200
_MAX_LABEL_CHARACTERS = 40
# Among this many rows, some label occurs twice.
_MIN_REPEATING_ROWS = 8
_MIN_SENTENCE_WORDS = 3
# Words of a column of ratings, their greatest value, and how many different ones there may be.
_RATING_WORDS = frozenset(("rating", "ratings", "stars", "star"))
_GRADE_WORDS = frozenset(("score", "grade", "overall"))
_MAX_RATING, _MAX_RATINGS = 10, 11
# Words of a column that counts or measures something of the row, and is no label of its text.
_COUNT_WORDS = frozenset(
    ("count", "counts", "num", "number", "total", "changed", "insertions", "deletions", "additions", "size", "length",
     "words", "tokens", "lines", "line", "views", "likes", "votes", "upvotes", "minutes", "seconds", "duration", "year",
     "position", "page", "pages", "rank", "age", "answers", "comments", "replies")
)  # fmt: skip
# A usual text column with at least this share of all characters is the text to train on, whatever columns there are.
_TEXT_SHARE = 0.8


def propose_marked(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose text columns that contain marks of turns."""
    tests: tuple[tuple[FormatName, Callable[[Any], bool]], ...] = (
        ("guanaco", lambda value: isinstance(value, str) and "### Human:" in value),
        ("llama2", lambda value: isinstance(value, str) and "[INST]" in value and "[/INST]" in value),
        ("marked", lambda value: isinstance(value, str) and style_of(value) is not None),
    )
    for form, test in tests:
        for name, column in found.items():
            if column.characters and (count := count_filled(rows, name, test)):
                evidence = f"{get_format(form).sign}, in the column {name!r}"
                proposal = make_proposal(found, form, {"text": name}, evidence, count)
                if len(found) > 1 and find_column([name], QUESTION_NAMES) and not _answers_any(rows, proposal.reading):
                    # A rendered prompt whose answer is in another column.
                    continue
                yield replace(proposal, doubt=speaker_doubt(rows, proposal.reading))


def _answers_any(rows: Rows, reading: Reading) -> bool:
    """Return whether a marked text holds an answer in any row."""
    for row in rows:
        with contextlib.suppress(UnusableRow):
            if any(one["role"] == "assistant" and one["content"].strip() for one in reading.parse(row)):
                return True
    return False


def _prose(found: Columns) -> list[str]:
    return [name for name, column in found.items() if column.kind == "prose"]


def _sentences(rows: Rows, found: Columns) -> list[str]:
    """Return the columns that hold the same sentence in all rows, such as the task or the hypothesis about a text."""
    constants = [name for name, column in found.items() if column.kind == "constant" and column.characters]
    first = {name: next(str(row[name]) for row in rows if not is_missing(row.get(name))) for name in constants}
    return [name for name, text in first.items() if len(text.split()) >= _MIN_SENTENCE_WORDS]


def propose_labeled(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a text column with a column of few, short, repeated values as its label."""
    usual = {folded_name(name): index for index, name in enumerate(names.LABEL_NAMES)}
    texts = [name for name in found if found[name].characters and found[name].kind in ("prose", "short")]
    # A column that chooses between two answers is no label of one of them.
    choices = {choice for _, _, choice in find_choices(rows, found)}
    for name in sorted(found.keys() - choices, key=lambda n: (usual.get(folded_name(n), 99), n)):
        is_rating = folded_name(name) not in usual and _is_rating(rows, name)
        text = find_column([t for t in texts if t != name], names.TEXT_NAMES) or max(
            (t for t in texts if t != name), key=lambda t: found[t].characters, default=None
        )
        # Beside the only text, few different values are hardly anything else than its label.
        named = is_rating or folded_name(name) in usual or _is_only_category(found, name)
        labels = _labels(rows, name, named)
        if text is None or not labels or all(is_date(label) for label in labels):
            continue
        # The text must be clearly longer than its label, or the two are rather a question and its answer.
        is_short = found[text].characters < 2 * sum(len(label) * count for label, count in labels.items())
        if is_short and not find_column([name], names.SURE_LABEL_NAMES):
            continue
        several = [other for other in (*_prose(found), *_sentences(rows, found)) if other not in (text, name)]
        doubt = _label_doubt(rows, found, Reading(format="label", columns={"text": text, "label": name}), several)
        if is_short:
            doubt = f"the texts in {text!r} are hardly longer than the labels in {name!r}, which may be answers"
        if doubt and message_doubt(rows, found):
            # A column beside the messages of a chat is no label of them.
            continue
        evidence = f"{_describe_labels(labels, name)} beside the text in {text!r}"
        reading = Reading(format="label", columns={"text": text, "label": name})
        yield Proposal(reading, evidence, count_present(rows, text, name), doubt)
        if several:
            both = reading.model_copy(update={"extra": {several[0]: "context"}})
            yield Proposal(both, f"{evidence} and {several[0]!r}", count_present(rows, text, name, several[0]), doubt)


def _describe_labels(labels: Counter[str], name: str) -> str:
    shown = list_some([label for label, _ in labels.most_common()], 4)
    return f"{counted(len(labels), 'different value')} in the column {name!r} ({shown})"


def _label_doubt(rows: Rows, found: Columns, reading: Reading, several: Sequence[str]) -> str:
    """Return why a column may be no label of a text; "" for no reason.

    Args:
        rows: The rows.
        found: Properties of the columns by name.
        reading: The text with its label.
        several: Other columns of sentences.
    """
    text, name = reading.columns["text"], reading.columns["label"]
    is_usual = folded_name(name) in set(map(folded_name, names.LABEL_NAMES))
    if not is_usual and _is_rating(rows, name):
        return f"{name!r} may be a rating of the text, or a remark"
    if several:
        return f"{text!r} and {several[0]!r} may both belong to the question"
    if any(isinstance(row.get(name), list) for row in rows):
        return f"{name!r} may hold several labels, of which the first would be the answer"
    if not is_usual:
        return f"{name!r} may be a label or a remark"
    if doubt := marks_doubt([row[text] for row in rows if isinstance(row.get(text), str)]):
        return doubt
    # The intent of a message beside its answer is a remark.
    pair = next(propose_worded(rows, found), None)
    return pair.doubt or f"{name!r} may be a label or a remark, beside {pair.evidence}" if pair else ""


def _is_only_category(found: Columns, name: str) -> bool:
    """Return whether a column of categories stands beside one other column, as in a file of labels and texts."""
    return found[name].kind == "category" and sum(column.kind != "empty" for column in found.values()) == 2


def _only_label(value: Any) -> Any:
    """Return the label in a list of one (doccano); any other value unchanged."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _is_rating(rows: Rows, name: str) -> bool:
    """Return whether a column named like a rating holds nothing but a few whole or half numbers up to 10."""
    words = name_words(name) or [""]
    if (
        not find_column([name], ("overall", "score"))
        and not _RATING_WORDS & set(words)
        and words[-1] not in _GRADE_WORDS
    ):
        return False
    cells = [row[name] for row in rows if name in row and not is_missing(row[name])]
    # The numbers of a CSV file are texts.
    numbers = [None if isinstance(cell, bool) else number_of_text(cell) for cell in cells]
    values = {number for number in numbers if number is not None}
    in_steps = all(0 <= value <= _MAX_RATING and 2 * value == int(2 * value) for value in values)
    return in_steps and 1 < len(values) <= _MAX_RATINGS and None not in numbers


def _labels(rows: Rows, name: str, named: bool) -> Counter[str]:
    """Return the values of a column with their counts if they could be labels; an empty counter otherwise."""
    cells = [_only_label(row.get(name)) for row in rows]
    values = [value for value in cells if isinstance(value, (str, int, float)) and not is_missing(value)]
    several = Counter(map(str, values))
    are_numbers = all(number_of_text(value) is not None for value in values)
    if are_numbers and (_COUNT_WORDS & set(name_words(name)) or any(isinstance(value, float) for value in values)):
        return Counter() if not _is_rating(rows, name) else several
    if _UNNAMED.fullmatch(name) and all(str(value).lstrip("-").isdigit() for value in values):
        few = 1 <= len(several) <= _MAX_UNNAMED_NUMBERS
    elif find_column([name], names.SURE_LABEL_NAMES):
        few = 1 <= len(several) <= _MAX_NAMED_LABELS
    else:
        # Without a name that says so, each value must also repeat often.
        few = 2 <= len(several) <= _MAX_UNNAMED_LABELS and len(values) >= (2 if named else 20 * len(several))
        # A column such as "target" of which no value comes back holds texts.
        few = few and (len(several) < len(values) or len(values) < _MIN_REPEATING_ROWS)
    return several if few and max(map(len, several)) <= _MAX_LABEL_CHARACTERS else Counter()


def propose_plain(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose columns of prose as plain text. Ids, categories and constants are never proposed."""
    total = sum(column.characters for column in found.values())
    open_kinds = [name for name, column in found.items() if column.kind in ("prose", "short", "nested")]
    usual = find_column(open_kinds, names.TEXT_NAMES)
    texts = [name for name in found if found[name].kind == "prose" or (name == usual and found[name].characters)]
    texts = [name for name in texts if not is_negative(name, found)]
    # Raw JSON is hardly a text to train on, except under the name of one.
    texts = [name for name in texts if name == usual or not spells_json(rows, name)]
    missing = _missing_part(rows, found)
    kinds = ("category", "number")
    label = next(
        (n for n in found if found[n].kind in kinds and _labels(rows, n, named=_is_only_category(found, n))), ""
    )
    for name in sorted(texts, key=lambda n: (n != usual, -found[n].characters)):
        doubt = missing
        if not doubt and len(open_kinds) > 1 and not (name == usual and found[name].characters >= _TEXT_SHARE * total):
            doubt = f"{len(open_kinds)} columns may hold the text to train on"
        cells = [row[name] for row in rows if isinstance(row.get(name), str)]
        doubt = doubt or marks_doubt(cells) or (alternation_doubt(cells) if len(found) == 1 else "")
        if not doubt and name != usual and (answer := label or next((n for n in found if _is_rating(rows, n)), "")):
            doubt = f"the column {answer!r} may be the answer about the text"
        doubt = doubt or flags_doubt(rows, found) or objects_doubt(rows, name) or _unnamed_doubt(found, name)
        evidence = f"no marks of turns; the column {name!r} is read as plain text"
        filled = count_filled(rows, name, lambda value: isinstance(value, str))
        yield make_proposal(found, "text", {"text": name}, evidence, filled, doubt)


def _unnamed_doubt(found: Columns, name: str) -> str:
    """Return the doubt that a column of a table without a header has its label in another one; "" if not."""
    filled = [other for other in found if found[other].kind != "empty" and _UNNAMED.fullmatch(other)]
    if not _UNNAMED.fullmatch(name) or len(filled) < 2:
        return ""
    return f"the columns have no names, and {len(filled)} of them hold values; {name!r} may belong to a label"


def _missing_part(rows: Rows, found: Columns) -> str:
    """Return why rows with text may not be plain text although no format with turns fits; "" for no reason."""
    every = list(found)
    parent = find_column(every, ("parent_id", "parent"))
    if parent and find_column(every, ("role", "from", "author")):
        return f"each row is one message of a tree (column {parent!r}); the file of whole trees can be read"
    if doubt := message_doubt(rows, found) or message_list_doubt(rows, found):
        return doubt
    if doubt := survey_doubt(found) or numbered_turns_doubt(found):
        return doubt
    if question := find_column(
        every, (*QUESTION_NAMES, "user_input", "user_message", "human_message", "question_text")
    ):
        return f"the column {question!r} holds questions, and no column of answers was found"
    filled = [name for name in every if found[name].kind != "empty"]
    answer = find_column(filled, (*names.SURE_LABEL_NAMES, *names.LABEL_ID_NAMES, *names.COMPLETION_NAMES))
    return f"the column {answer!r} may hold the answer about the text" if answer else ""


def propose_prompts(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the column of questions of a file that holds only prompts."""
    if question := find_column(list(found), QUESTION_NAMES):
        filled = count_filled(rows, question, lambda value: isinstance(value, str))
        yield make_proposal(found, "text", {"text": question}, f"questions in the column {question!r}", filled)
