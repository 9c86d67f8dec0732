"""Proposals of multiple choice: a question, its choices, and a column that names one of them in most rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from core.data.formats import columns as names
from core.data.formats.choices import Choice, choice_columns, choices_of, find_choice, is_flag_map
from core.data.formats.columns import find_column, profile
from core.data.formats.proposal import QUESTION_NAMES, Columns, Proposal, Rows, make_proposal
from core.data.formats.row_doubts import question_part_doubt, taken_columns
from core.data.formats.values import is_missing, nested

# Columns that name the right choice, the likeliest first.
KEY_NAMES = (
    "answer", "answer_key", "answer_idx", "answer_index", "answer_id", "answer_letter", "correct_answer",
    "correct_option", "correct_choice", "correct_index", "correct_idx", "correct_answer_index", "correct_answer_idx",
    "correct_answer_id", "correct_answer_letter", "correct_letter", "correct", "right_answer", "label", "labels",
    "gold", "gold_index", "gold_idx", "gold_label", "gold_answer", "target", "key", "ans", "cop", "solution", "output",
    "completion", "response", "correct_answers", "answers", "accept",
)  # fmt: skip
_QUESTION_NAMES = (
    *QUESTION_NAMES,
    "question_stem",
    "question_text",
    "stem",
    "ctx",
    "sentence",
    "goal",
    "startphrase",
    "premise",
    "text",
)
_CONTEXT_NAMES = (*names.CONTEXT_NAMES, "article", "story", "hint", "fact1", "paragraph", "text")
# Two columns of answers with a number may be a preference pair; these names are always those of choices.
_CHOICE_WORDS = ("option", "options", "choice", "choices", "op", "opt", "ending")
# Columns of choices with a flag each in TruthfulQA and BIG-bench.
_FLAGGED_NAMES = ("mc1_targets", "mc2_targets", "target_scores", "mc_targets", "answer_options", "answer_choices")
_MIN_COLUMNS = 3
_SLOTS = ("question", "choices", "answer", "answer_from_1", "context", "system")


@dataclass(frozen=True)
class _Key:
    """How a column names choices in the first rows.

    Attributes:
        name: The column.
        matches: Number of rows in which it names a choice, with numbers counted from 0 and from 1.
        numbers: The different numbers in it.
        has_last: Whether a number is that of the last choice, counted from 1.
        is_ambiguous: Whether a number or a letter is also the text of another choice.
    """

    name: str
    matches: tuple[int, int]
    numbers: frozenset[int]
    has_last: bool
    is_ambiguous: bool


def propose_choices(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose multiple choice for each column of choices with a column that names one of them in most rows."""
    for choices in _choice_columns(rows, found):
        taken = {choices, *(column for row in rows for column in choice_columns(choices, row))}
        rest = [name for name in found if name not in taken and found[name].kind != "empty"]
        for want in KEY_NAMES:
            key = find_column(rest, (want,))
            question = find_column([name for name in rest if name != key], _QUESTION_NAMES)
            if key is None or question is None or found[question].kind not in ("prose", "short"):
                continue
            known = _key(rows, choices, key)
            if 2 * max(known.matches) > sum(not is_missing(row.get(choices)) for row in rows):
                yield from _proposals(rows, found, {"question": question, "choices": choices}, taken, known)
                break
        else:
            yield from _flagged(rows, found, choices, rest)


def propose_inner_choices(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose multiple choice whose question and choices are fields of one object, as in CommonsenseQA's own files."""
    for name in [name for name in found if found[name].kind == "nested"]:
        values = [nested(row.get(name)) for row in rows]
        fields = {key for value in values if isinstance(value, dict) for key in value} - found.keys()
        if not all(isinstance(value, dict) for value in values) or not find_column(list(fields), names.OPTION_NAMES):
            continue
        inner = [
            {**{other: cell for other, cell in row.items() if other != name}, **{key: value.get(key) for key in fields}}
            for row, value in zip(rows, values, strict=True)
        ]
        for one in propose_choices(inner, profile(inner)):
            taken = {slot: column for slot, column in taken_columns(inner, one.reading).items() if slot in _SLOTS}
            columns = {slot: f"{name}.{column}" if column in fields else column for slot, column in taken.items()}
            doubt = one.doubt or f"the fields of {name!r} may be a question with its choices"
            yield replace(one, reading=one.reading.model_copy(update={"columns": columns}), doubt=doubt)


def _flagged(rows: Rows, found: Columns, choices: str, rest: list[str]) -> Iterator[Proposal]:
    """Propose choices of which a flag in the same column says which is right, such as TruthfulQA's mc1_targets."""
    filled = [row for row in rows if not is_missing(row.get(choices))]
    count = sum(any(choice.is_right for choice in row_choices(row, choices)) for row in filled)
    question = find_column(rest, _QUESTION_NAMES)
    if 2 * count <= len(filled) or question is None or found[question].kind not in ("prose", "short"):
        return
    beside = {
        "context": find_column([n for n in rest if found[n].kind in ("prose", "short", "constant")], _CONTEXT_NAMES),
        "system": find_column([name for name in rest if name != question], names.SYSTEM_NAMES),
    }
    doubt = question_part_doubt(rows, found, {choices, question, *beside.values()})
    others = [name for name in found if name != choices and has_flags(rows, name)]
    given = [row_choices(row, choices) for row in filled]
    if len(given) > _MIN_COLUMNS and all(one and one[0].is_right for one in given):
        doubt = f"the first of the choices in {choices!r} is right in all rows, which a model would learn; shuffle them"
    elif others:
        doubt = f"both {choices!r} and {others[0]!r} hold choices with flags for the right ones"
    elif not _is_flagged_name(choices):
        doubt = f"{choices!r} may be the choices of a question, of which a flag names the right one"
    evidence = f"choices in {choices!r}, with flags that say which is right"
    slots = {"question": question, "choices": choices, **beside}
    yield make_proposal(found, "multiple_choice", slots, evidence, count, doubt)


def _is_flagged_name(name: str) -> bool:
    return find_column([name], (*names.OPTION_NAMES, *_FLAGGED_NAMES)) is not None


def has_flags(rows: Rows, name: str) -> bool:
    """Return whether each list or object in a column holds choices of which a flag names the right one."""
    filled = [row for row in rows if isinstance(nested(row.get(name)), (list, dict)) and not is_missing(row[name])]
    # Under another name, an object of flags may be about anything.
    if not _is_flagged_name(name) and any(is_flag_map(nested(row[name])) for row in filled):
        return False
    return bool(filled) and all(any(choice.is_right for choice in row_choices(row, name)) for row in filled)


def _choice_columns(rows: Rows, found: Columns) -> list[str]:
    """Return the columns that may hold choices, or the first of several columns of one choice each."""
    named = [name for want in names.OPTION_NAMES if (name := find_column(list(found), (want,)))]
    lists = [name for name in found if found[name].kind in ("nested", "prose", "short") and name not in named]
    lists = [
        name
        for name in lists
        if find_column([name], ("answers", "candidates", "candidate_answers")) or has_flags(rows, name)
    ]
    groups = []
    for name in found:
        columns = choice_columns(name, found)
        if len(columns) >= _MIN_COLUMNS or (columns and _is_named_choice(name)):
            groups.append(name)
    return [*named, *groups, *lists]


def _is_named_choice(name: str) -> bool:
    return bool(find_column([name[:-1].rstrip("_- .")], _CHOICE_WORDS))


def row_choices(row: Any, name: str) -> list[Choice]:
    """Return the choices of a row in the column `name`, or in the columns that follow it; [] if there are none."""
    value = row.get(name)
    if not isinstance(nested(value), (list, dict)) and (columns := choice_columns(name, row)):
        values = ["" if is_missing(row[column]) else str(row[column]) for column in columns]
        return [Choice(chr(ord("A") + i), text) for i, text in enumerate(values)]
    return choices_of(value, lambda sentence: None) or []


def _key(rows: Rows, choices: str, key: str) -> _Key:
    matches, numbers, has_last, is_ambiguous = [0, 0], set(), False, False
    for row in rows:
        given, value = row_choices(row, choices), row.get(key)
        if not given or is_missing(value):
            continue
        indexes = [find_choice(given, value, bool(from_one)) for from_one in (0, 1)]
        for from_one, index in enumerate(indexes):
            matches[from_one] += index is not None
        word = str(value).strip().removesuffix(".0")
        texts = [choice.text.strip() for choice in given]
        if isinstance(value, str) and texts.count(word) == 1 and texts.index(word) not in indexes:
            is_ambiguous = True
        if indexes[0] != indexes[1] and word.lstrip("-").isdigit():
            numbers.add(int(word))
            has_last = has_last or int(word) == len(given)
    return _Key(key, (matches[0], matches[1]), frozenset(numbers), has_last, is_ambiguous)


def _proposals(rows: Rows, found: Columns, slots: dict[str, str], taken: set[str], key: _Key) -> Iterator[Proposal]:
    question, choices = slots["question"], slots["choices"]
    rest = [name for name in found if name not in {*taken, question, key.name}]
    beside = {
        "context": find_column([n for n in rest if found[n].kind in ("prose", "short", "constant")], _CONTEXT_NAMES),
        "system": find_column(rest, names.SYSTEM_NAMES),
    }
    doubt = question_part_doubt(rows, found, {*taken, question, key.name, *beside.values(), *_endings(found)})
    if key.is_ambiguous:
        doubt = f"{key.name!r} may hold numbers or letters of the choices in {choices!r}, or their texts"
    from_zero, from_one = _counts_from(key)
    if from_zero and from_one:
        doubt = (
            f"the numbers in {key.name!r} may count the choices in {choices!r} from 0 or from 1; of the two readings, "
            "take the one whose answers are right"
        )
    for slot, is_possible, match in zip(("answer", "answer_from_1"), (from_zero, from_one), key.matches, strict=True):
        if is_possible and match:
            counted = f", counted from {int(slot != 'answer')}" if key.numbers else ""
            evidence = f"choices in {choices!r}, of which {key.name!r} names the right one{counted}"
            yield make_proposal(found, "multiple_choice", {**slots, slot: key.name, **beside}, evidence, match, doubt)


def _endings(found: Columns) -> list[str]:
    """Return the columns of HellaSwag that repeat the parts of the question."""
    return [name for name in found if find_column([name], ("ctx_a", "ctx_b"))]


def _counts_from(key: _Key) -> tuple[bool, bool]:
    """Return whether the numbers may count from 0, and whether they may count from 1."""
    has_zero, has_last = 0 in key.numbers, key.has_last
    if not key.numbers:
        return True, False
    if has_zero != has_last:
        return has_zero, has_last
    # Both, or neither of the numbers that would decide it.
    return True, True


def choices_doubt(choices: list[Proposal], proposal: Proposal) -> str:
    """Return the doubt of a reading that is not multiple choice, for rows with choices; "" otherwise."""
    if not choices or proposal.reading.format == "multiple_choice":
        return ""
    return f"the rows may be multiple choice: {choices[0].evidence}"
