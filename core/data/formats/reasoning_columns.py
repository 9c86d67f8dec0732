"""Columns of reasoning beside an answer, such as `Complex_CoT`, `thinking_trajectories` or `rationale`.

The user chooses whether to train on the reasoning: one offered reading writes it in <think> tags before the answer,
another leaves it out. The reasoning holds the solution, so it is never a part of the question.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from core.data.formats.columns import name_words
from core.data.formats.doubts import texts_in
from core.data.formats.proposal import Columns, Proposal, Rows
from core.data.formats.steps import is_step_name, steps_text
from core.data.formats.values import is_missing, nested

_WORDS = frozenset(
    ("reasoning", "reasonings", "thinking", "thought", "thoughts", "cot", "cots", "rationale", "rationales",
     "scratchpad")
)  # fmt: skip
# Words of a column about the reasoning: its length, its model, whether it is complete.
_REMARKS = frozenset(
    ("id", "ids", "type", "length", "token", "tokens", "count", "language", "lang", "complete", "score",
     "mode", "effort", "level", "source", "time", "seconds", "prompt", "is", "has", "num", "budget", "enabled")
)  # fmt: skip


def is_reasoning_name(name: str) -> bool:
    """Return whether a column is named like reasoning, by a word such as "thinking" or "CoT", in any letter case."""
    words = {*name_words(name), *name_words(name.lower())}
    return bool(words & _WORDS) and not words & _REMARKS


def reasoning_columns(rows: Rows, found: Columns, taken: Iterable[str]) -> list[str]:
    """Return the columns of reasoning that a reading does not use, without copies of a part of the used ones.

    Args:
        rows: The first rows.
        found: Properties of the columns by name.
        taken: Columns that the reading uses.
    """
    used = set(taken)
    free = [name for name in found if name not in used and found[name].kind in ("prose", "short", "nested")]
    lists = [name for name in used if any(_size(row.get(name)) > 1 for row in rows)]
    named = [name for name in free if is_reasoning_name(name) or _are_steps(rows, name)]
    named = [name for name in named if not _is_per_answer(rows, name, lists)]
    known = [_words([row.get(name) for name in used]) for row in rows] if named else []
    columns = []
    for name in named:
        texts = [(_words(row.get(name)), text) for row, text in zip(rows, known, strict=True)]
        filled = [(reasoning, text) for reasoning, text in texts if reasoning]
        if 2 * sum(reasoning not in text for reasoning, text in filled) > len(filled):
            columns.append(name)
    return columns


def _are_steps(rows: Rows, name: str) -> bool:
    """Return whether a column holds lists of the steps of a solution."""
    return is_step_name(name) and any(steps_text(row.get(name), name, lambda words: None) for row in rows)


def _is_per_answer(rows: Rows, name: str, lists: Iterable[str]) -> bool:
    """Return whether a column has a text for each of several answers, such as remarks of a judge."""
    return any(all(_size(row.get(name)) == _size(row.get(other)) for row in rows) for other in lists)


def _size(value: object) -> int:
    value = nested(value)
    return len(value) if isinstance(value, list) else 0


def _words(value: object) -> str:
    return " ".join(" ".join(text for text in texts_in(value) if not is_missing(text)).split())


def offer_reasoning(proposal: Proposal, columns: list[str]) -> Iterator[Proposal]:
    """Yield the readings with each column of reasoning before the answer, then the one without reasoning.

    Args:
        proposal: A reading with answers that uses none of the columns.
        columns: The columns of reasoning; without one, the proposal itself is yielded.
    """
    if not columns:
        yield proposal
        return
    shown = " and ".join(map(repr, columns[:2]))
    doubt = f"the reasoning in {shown} may be trained in <think> tags before the answer, or left out"
    doubt = "; ".join(filter(None, (doubt, proposal.doubt)))
    uses = [{name: "reasoning" if name == column else "ignore" for name in columns} for column in columns]
    for use in [*uses, dict.fromkeys(columns, "ignore")]:
        reading = proposal.reading.model_copy(update={"extra": use})
        yield replace(proposal, reading=reading, doubt=doubt)
