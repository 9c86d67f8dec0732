"""Proposals for columns of lists of texts: paired lists, numbered columns, several answers, alternating turns.

A list named like a conversation is certain. Any other may hold turns, answers to choose from or the words of a
sentence, so its readings come last and always with doubt, those that do not guess from the position first.
"""

from collections.abc import Iterator
from typing import Any

from core.data.formats import columns as names
from core.data.formats.answer_doubts import rank_doubt, right_columns
from core.data.formats.choice_proposals import has_flags
from core.data.formats.columns import find_column, name_words
from core.data.formats.empty_answers import has_no_answers, is_wrong_name
from core.data.formats.paired import list_of_texts, number_of
from core.data.formats.proposal import (
    QUESTION_NAMES,
    Columns,
    Proposal,
    Rows,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.reasoning_columns import is_reasoning_name
from core.data.formats.row_doubts import taken_columns
from core.data.formats.steps import has_steps, is_method_name
from core.data.formats.values import is_missing, nested

_QUESTION_WORDS = frozenset(
    ("question", "questions", "prompt", "prompts", "pattern", "patterns", "query", "queries", "instruction",
     "instructions", "input", "inputs", "q")
)  # fmt: skip
_ANSWER_WORDS = frozenset(
    ("answer", "answers", "response", "responses", "reply", "replies", "completion", "completions", "output", "outputs",
     "solution", "solutions", "a")
)  # fmt: skip
# Words of numbered columns: questions and answers, and the two sides of a chat, such as user_1 and bot_1.
_NUMBERED = (
    (_QUESTION_WORDS, _ANSWER_WORDS),
    (frozenset(("user", "human", "customer", "client", "patient", "student")),
     frozenset(("bot", "assistant", "chatbot", "agent", "ai", "gpt", "model", "doctor", "tutor", "system"))),
)  # fmt: skip
_NO_TURNS = (*names.CONTEXT_NAMES, *names.OPTION_NAMES, "ingredients", "materials", "keywords", "tags")
# Columns that name what the steps of a recipe or an instruction make, and the question of the steps of a solution.
_TASK_NAMES = (
    *QUESTION_NAMES, "task", "exercise", "goal", "title", "name", "recipe", "recipe_name", "recipe_title", "dish",
)  # fmt: skip
_PARTS_NAMES = ("ingredients", "ingredient", "materials", "given", "context")
_STORY_NAMES = (*names.CONTEXT_NAMES, "story", "article", "document", "text")
# A list of the words of a sentence has hardly a text of several words.
_MIN_SHARE_OF_PHRASES = 0.2


def propose_named_lists(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose lists of texts that are named like a conversation as alternating turns (UltraChat)."""
    for name in found:
        if find_column([name], (*names.TURN_NAMES, "data")):
            yield from _alternating(rows, found, name, "")


def propose_lists(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the other lists of texts: the first text as the answer to a question, then alternating turns."""
    lists = [name for name in found if not find_column([name], (*names.TURN_NAMES, "data", *_NO_TURNS))]
    lists = [name for name in lists if count_filled(rows, name, _is_several) and _are_phrases(rows, name)]
    lists = [name for name in lists if not has_steps(found, [name])]
    lists = [name for name in lists if not is_wrong_name(name) and not has_no_answers(rows, name)]
    for name in lists:
        texts = [other for other in found if found[other].kind in ("prose", "short")]
        question = find_column(texts, QUESTION_NAMES) or _only_prose(found)
        if question and not is_reasoning_name(name):
            slots = {"prompt": question, "completion": name, "system": find_column(list(found), names.SYSTEM_NAMES)}
            evidence = f"a question in {question!r} and a list in {name!r}, of which the first text is the answer"
            doubt = f"the first text of each list in {name!r} may be the answer to {question!r}"
            yield make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, question, name), doubt)
    for name in lists:
        if right_columns(rows, found, name):
            # These are answers to choose from.
            continue
        doubt = f"the column {name!r} is a list of texts; they may be turns or answers to choose from"
        yield from _alternating(rows, found, name, rank_doubt(rows, found, name) or doubt)


def propose_steps(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the steps of a recipe, an instruction or a solution as the answer to what they make; with doubt."""
    steps = [name for name, column in found.items() if is_method_name(name) and column.kind in ("prose", "nested")]
    texts = [name for name in found if found[name].kind in ("prose", "short") and name not in steps]
    task = find_column(texts, _TASK_NAMES)
    parts = find_column([name for name in found if name != task], _PARTS_NAMES)
    for name in steps if task else []:
        if not has_steps(found, [name]) and not parts:
            continue
        slots = {"prompt": task, "context": parts, "completion": name}
        shown = " and ".join(repr(part) for part in (task, parts) if part)
        doubt = f"the steps in {name!r} may be the answer to {shown}"
        evidence = f"a question in {shown} and its steps in {name!r}"
        yield make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, task, name), doubt)


def _only_prose(found: Columns) -> str | None:
    """Return the only column of prose, such as the source of several translations; None if there are several."""
    prose = [name for name, column in found.items() if column.kind == "prose" and not is_reasoning_name(name)]
    return prose[0] if len(prose) == 1 else None


def _alternating(rows: Rows, found: Columns, name: str, doubt: str) -> Iterator[Proposal]:
    if count := count_filled(rows, name, _is_several):
        evidence = f"a list of texts that alternate between user and assistant, in the column {name!r}"
        yield make_proposal(found, "messages", {"messages": name}, evidence, count, doubt)


def propose_paired(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a list of questions beside a list of answers, or numbered columns of both; always with doubt."""
    lists = [
        name
        for name in found
        if found[name].kind in ("nested", "prose", "short") and 2 * count_filled(rows, name, _has_texts) > len(rows)
    ]
    lists = [name for name in lists if not has_flags(rows, name)]
    if has_steps(found, lists):
        # The parts and the steps of a recipe are one text each.
        lists = []
    asked = [name for name in lists if _is_worded(name, _QUESTION_WORDS)]
    answers = [name for name in lists if _is_worded(name, _ANSWER_WORDS)]
    if not (asked and answers) and len(lists) == 2 and all(_are_phrases(rows, name) for name in lists):
        asked, answers = lists[:1], lists[1:]
    for question in asked:
        for answer in answers:
            if question != answer:
                yield from _lists(rows, found, question, answer)
    yield from _numbered(rows, found)


def paired_doubt(rows: Rows, paired: list[Proposal], proposal: Proposal) -> str:
    """Return the doubt of paired lists whose question and answer another reading takes for a single text each."""
    if proposal.reading.format not in ("prompt_completion", "alpaca"):
        return ""
    taken = set(taken_columns(rows, proposal.reading).values())
    for one in paired:
        columns = taken_columns(rows, one.reading)
        if {columns["questions"], columns["answers"]} <= taken:
            return one.doubt
    return ""


def _lists(rows: Rows, found: Columns, question: str, answer: str) -> Iterator[Proposal]:
    sizes = [(_size(row.get(question)), _size(row.get(answer))) for row in rows]
    both = [(asked, given) for asked, given in sizes if asked and given]
    if not any(max(pair) > 1 for pair in both):
        return
    where = f"{question!r} and {answer!r}"
    if all(asked == given for asked, given in both):
        doubt = f"the lists in {where} may be the turns of one conversation, each question with its answer"
        yield _paired(rows, found, question, answer, f"two lists of the same length, in the columns {where}", doubt)
    elif _is_worded(question, _QUESTION_WORDS) and _is_worded(answer, _ANSWER_WORDS):
        doubt = (
            f"{where} are lists of different lengths; they are read as one question and one answer, so write one row "
            "for each text that is a question of its own"
        )
        evidence = f"the texts in {question!r} as the question, the first in {answer!r} as the answer"
        slots = {"prompt": question, "completion": answer}
        yield make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, question, answer), doubt)


def _numbered(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose columns such as `Question 1`, `Answer 1`, `Question 2`, `Answer 2` as turns."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name in found:
        if (parts := number_of(name)) and found[name].kind != "empty":
            groups.setdefault((parts[0], parts[2]), []).append(parts[1])
    several = {parts: sorted(numbers) for parts, numbers in groups.items() if len(numbers) > 1}
    for asked, numbers in several.items():
        for given, others in several.items():
            is_pair = any(_is_worded(asked[0], one) and _is_worded(given[0], other) for one, other in _NUMBERED)
            if not is_pair or numbers != others or numbers[-1] - numbers[0] != len(numbers) - 1:
                continue
            question, answer = (f"{before}{numbers[0]}{after}" for before, after in (asked, given))
            doubt = (
                f"{question!r}, {answer!r} and those that follow may be turns of one conversation; if each pair is an "
                "example of its own, write it as a row of its own"
            )
            yield _paired(rows, found, question, answer, f"{len(numbers)} numbered questions with answers", doubt)


def _paired(rows: Rows, found: Columns, question: str, answer: str, evidence: str, doubt: str) -> Proposal:
    rest = [name for name in found if name not in (question, answer)]
    texts = [name for name in rest if found[name].kind in ("prose", "short")]
    slots = {"questions": question, "answers": answer, "context": find_column(texts, _STORY_NAMES)}
    slots |= {"system": find_column(rest, names.SYSTEM_NAMES), "tools": find_column(rest, names.TOOL_NAMES)}
    return make_proposal(found, "paired", slots, evidence, count_present(rows, question, answer), doubt)


def _is_several(value: Any) -> bool:
    value = nested(value)
    return isinstance(value, list) and len(value) > 1 and all(isinstance(text, str) for text in value)


def _has_texts(value: Any) -> bool:
    return list_of_texts(value) is not None


def _size(value: Any) -> int:
    found = list_of_texts(value)
    return len(found[1]) if found else 0


def _is_worded(name: str, words: frozenset[str]) -> bool:
    return bool(words & set(name_words(name)))


def _are_phrases(rows: Rows, name: str) -> bool:
    """Return whether a list holds texts of several words, or of a script without spaces, rather than single words."""
    lists = [list_of_texts(row[name]) for row in rows if name in row and not is_missing(row[name])]
    texts = [text for found in lists if found for text in found[1]]
    # U+2E80 is the start of the CJK blocks.
    phrases = sum(len(text.split()) > 1 or any(ord(c) > 0x2E80 for c in text) for text in texts)
    return phrases >= _MIN_SHARE_OF_PHRASES * len(texts)
