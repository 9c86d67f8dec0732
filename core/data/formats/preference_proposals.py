"""Proposals of preference pairs: a chosen and a rejected answer, or two answers and a column that chooses one."""

from collections.abc import Iterator
from itertools import combinations

from core.data.formats import columns as names
from core.data.formats.answer_choice import (
    FIRST_VALUES,
    SECOND_VALUES,
    chooses_first,
    marks_of,
    name_parts,
    other_score,
)
from core.data.formats.columns import find_column
from core.data.formats.doubts import reference_doubt
from core.data.formats.object_fields import text_field, unfolded
from core.data.formats.proposal import (
    Columns,
    Proposal,
    Rows,
    columns_beside,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.turns import is_conversation
from core.data.formats.values import is_missing, number_of_text

# Words of two columns that are answers to the same question.
_ANSWER_WORDS = frozenset(
    ("answer", "answers", "response", "responses", "reply", "output", "outputs", "completion", "completions",
     "generation", "continuation", "candidate", "ref", "reference", "solution", "sol", "summary", "conversation",
     "conversations", "dialog", "dialogue", "messages", "chat", "transcript", "trajectory")
)  # fmt: skip
# Words of a column whose 0 and 1, or 1 and 2, choose one of two answers.
_CHOICE_WORDS = frozenset(
    ("label", "labels", "winner", "preference", "preferences", "preferred", "prefer", "better", "best", "choice",
     "chosen", "selected", "selection", "pick", "picked", "vote", "verdict", "judgment", "judgement", "decision")
)  # fmt: skip
_MOST_CHOICES = 6
# The end of a scale from one answer to the other.
_MAX_SCALE = 10
_TURNS_BEFORE = ("history", "chat_history", *names.CONTEXT_NAMES, *names.TEXT_NAMES, "goal", "title")


def propose_preference(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a chosen and a rejected answer, then two answers of which another column chooses the better one."""
    chosen, rejected = find_column(list(found), names.CHOSEN_NAMES), find_column(list(found), names.REJECTED_NAMES)
    if chosen and rejected:
        # The name of a source is no question.
        asked = [name for name in found if found[name].kind not in ("id", "category", "constant", "number")]
        prompt = find_column(asked, names.PROMPT_NAMES[:2]) or find_column(list(found), names.PROMPT_NAMES[:12])
        prompt = prompt or find_column(asked, (*names.PROMPT_NAMES, *names.TURN_NAMES))
        answers = f"in the columns {chosen!r} and {rejected!r}"
        yield make_proposal(
            found,
            "preference",
            {"prompt": prompt, "chosen": chosen, "rejected": rejected}
            | columns_beside(found, {prompt, chosen, rejected}),
            f"a chosen and a rejected answer {answers}; the chosen one is trained on",
            count_present(rows, chosen),
            reference_doubt(rows, found, chosen),
        )
    for first, second, choice in find_choices(rows, found):
        yield from _chosen(rows, found, first, second, choice)


def _is_scale(rows: Rows, name: str) -> bool:
    """Return whether a column named for a choice holds whole numbers on both sides of zero, as in HelpSteer3."""
    values = [number_of_text(row[name]) for row in rows if name in row and not is_missing(row[name])]
    numbers = [number for number in values if number is not None]
    has_both = bool(numbers) and min(numbers) < 0 < max(numbers) <= _MAX_SCALE and min(numbers) >= -_MAX_SCALE
    is_whole = len(numbers) == len(values) and all(number == int(number) for number in numbers)
    return has_both and is_whole and bool(_CHOICE_WORDS & set(name_parts(name)))


def find_choices(rows: Rows, found: Columns) -> list[tuple[str, str, str]]:
    """Return two columns of answers to the same question with the column that chooses one of them, each time.

    Columns of more than two answers, such as `answer_1` to `answer_4`, are left out.
    """
    talks = {name for name in found if 2 * count_filled(rows, name, is_conversation) > len(rows)}
    kinds = ("prose", "short", "category", "constant")
    texts = [name for name, column in found.items() if column.kind in kinds or name in talks]
    named = [name for name in texts if _ANSWER_WORDS & set(name_parts(name))]
    pairs = [(one, two) for one, two in combinations(named, 2) if marks_of(one, two)]
    # The names of two models are no answers.
    pairs = [pair for pair in pairs if any(found[name].kind in ("prose", "short") or name in talks for name in pair)]
    counts = [name for pair in pairs for name in pair]
    alone = [pair for pair in pairs if all(counts.count(name) == 1 for name in pair)]
    chosen = [
        (*pair, name)
        for pair in alone
        for name in found
        if name not in pair and (_is_choice(rows, name, *pair) or _is_scale(rows, name))
    ]
    numbers = [name for name in found if _are_numbers(rows, name)]
    return chosen + [(*pair, name) for pair in alone for name in numbers if other_score(name, *pair) in numbers]


def are_two_answers(first: str, second: str) -> bool:
    """Return whether two columns are named as two answers to the same question, such as answer_0 and answer_1."""
    return marks_of(first, second) is not None and bool(_ANSWER_WORDS & set(name_parts(first)))


def _are_numbers(rows: Rows, name: str) -> bool:
    values = [row[name] for row in rows if name in row and not is_missing(row[name])]
    return bool(values) and all(number_of_text(value) is not None for value in values)


def _is_choice(rows: Rows, name: str, first: str, second: str) -> bool:
    values = [row[name] for row in rows if name in row and not is_missing(row[name])]
    if any(isinstance(value, (list, dict)) for value in values):
        return False
    words = {str(value).strip().lower() for value in values}
    if not 1 <= len(words) <= _MOST_CHOICES or 2 * sum(
        chooses_first(value, first, second) is not None for value in values
    ) <= len(values):
        return False
    # A letter or a name identifies the column by itself; a number or a flag may be about anything.
    is_number = bool(words & (FIRST_VALUES | SECOND_VALUES))
    return not is_number or bool(_CHOICE_WORDS & set(name_parts(name)))


def _chosen(rows: Rows, found: Columns, first: str, second: str, choice: str) -> Iterator[Proposal]:
    """Propose two answers with the column that chooses, for each meaning that its values may have."""
    rest = {name: column for name, column in found.items() if name not in (first, second, choice)}
    filled = [name for name, column in rest.items() if column.kind not in ("id", "number", "empty")]
    prose = [name for name in filled if rest[name].kind == "prose"]
    prompt = find_column(filled, (*names.PROMPT_NAMES, *names.TURN_NAMES, *_TURNS_BEFORE))
    prompt = prompt or (prose[0] if len(prose) == 1 else None)
    if prompt is None and not count_filled(rows, first, is_conversation):
        return
    if prompt and found[prompt].kind == "nested" and (field := text_field(rows, prompt)):
        prompt = f"{prompt}.{field}"
        rows, found = unfolded(rows, (prompt,))
    answers, orders = f"{first!r} and {second!r}", _orders(rows, first, second, choice)
    other, is_scale = other_score(choice, first, second), _is_scale(rows, choice)
    if other in found:
        orders = [(first, second)]
    elif is_scale:
        orders = [(first, second), (second, first)]
    doubt = f"{choice!r} may say which of {answers} is the better answer, which is then trained on"
    if other in found:
        doubt = f"{choice!r} and {other!r} may rate {answers}, of which the better rated one is then trained on"
    elif is_scale:
        doubt += "; of the two readings, take the one whose chosen column is the better answer where it is below zero"
    elif len(orders) > 1:
        doubt += "; of the two readings, take the one whose chosen column is the better answer where it is 1 or true"
    slot = "scale" if is_scale and other not in found else "choice"
    for chosen, rejected in orders:
        slots = {"chosen": chosen, "rejected": rejected, slot: choice} | ({"prompt": prompt} if prompt else {})
        evidence = f"two answers in {answers}, of which {choice!r} chooses the better one"
        slots |= columns_beside(found, set(slots.values()))
        yield make_proposal(found, "preference", slots, evidence, count_present(rows, first, second, choice), doubt)


def _orders(rows: Rows, first: str, second: str, choice: str) -> list[tuple[str, str]]:
    """Return the two columns in the orders that the values of the column that chooses may mean, likeliest first.

    In each order, 1 stands for the first column. If the values are letters, or numbers as in the names, the order is
    certain, and the only one returned.
    """
    values = {str(row[choice]).strip().lower().removesuffix(".0") for row in rows if not is_missing(row.get(choice))}
    marks = marks_of(first, second) or ("", "")
    both = [(first, second), (second, first)]
    if not values & {"0", "1", "true", "false", "yes", "no"}:
        return both[:1]
    if values <= {"1", "2"} and "2" in values:
        return both[:1] if marks[1] != "1" else both[1:]
    if set(marks) == {"0", "1"} and values <= {"0", "1"}:
        return both[:1] if marks[0] == "1" else both[1:]
    return both
