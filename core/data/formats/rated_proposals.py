"""Proposals for a reading whose rows have a column that may say which answers are good, or which ones of a list."""

from collections.abc import Iterator
from dataclasses import replace

from core.data.formats import columns as names
from core.data.formats.answer_choice import marks_of
from core.data.formats.answer_doubts import rating_columns, right_columns
from core.data.formats.columns import find_column
from core.data.formats.proposal import Columns, Proposal, Rows, make_proposal
from core.data.formats.row_doubts import judgment_column, taken_columns
from core.data.formats.values import is_missing
from core.data.formats.verdicts import is_bad_flag, verdict_of

# The part of the format "rated" for each part of a reading that it can replace.
_SLOTS = {
    "messages": {"messages": "messages"},
    "sharegpt": {"conversations": "messages"},
    "alpaca": {"instruction": "prompt", "input": "context", "output": "completion"},
    "prompt_completion": {"prompt": "prompt", "completion": "completion", "context": "context"},
}


def offer_rated(rows: Rows, found: Columns, proposal: Proposal) -> Iterator[Proposal]:
    """Yield the reading of `proposal` without its bad answers, if a column that it does not use may name them."""
    slots = _SLOTS.get(proposal.reading.format)
    taken = taken_columns(rows, proposal.reading)
    judged = judgment_column(rows, found, proposal.reading) if slots else None
    if not slots or not judged or "history" in taken or is_bad_flag(judged):
        return
    if any(marks_of(name, other) for name in taken.values() for other in found if other not in taken.values()):
        # The flag chooses between "answer_A" and "answer_B"; it does not say whether one of them is good.
        return
    verdicts = [verdict_of(row[judged]) for row in rows if judged in row and not is_missing(row[judged])]
    if True not in verdicts or 2 * verdicts.count(None) >= len(verdicts):
        return
    columns = {slots.get(slot, slot): name for slot, name in taken.items()} | {"label": judged}
    evidence = f"{proposal.evidence}, and a flag in {judged!r}; answers flagged as bad are left out"
    rated = make_proposal(found, "rated", columns, evidence, proposal.rows, proposal.doubt)
    roles = dict(proposal.reading.roles)
    yield replace(rated, reading=rated.reading.model_copy(update={"roles": roles}))


def offer_right(rows: Rows, found: Columns, proposal: Proposal) -> Iterator[Proposal]:
    """Yield the reading of `proposal` with the right or best answer of each list, for each column that may name it."""
    slots = _SLOTS.get(proposal.reading.format, {})
    taken = taken_columns(rows, proposal.reading)
    answer = next((name for slot, name in taken.items() if slots.get(slot) == "completion"), None)
    if not answer or "history" in taken:
        return
    for right in dict.fromkeys((*right_columns(rows, found, answer), *rating_columns(rows, found, answer))):
        columns = {slots.get(slot, slot): name for slot, name in taken.items()} | {"correct": right}
        evidence = f"{proposal.evidence}, of which the right or best one by {right!r} is used"
        yield make_proposal(found, "prompt_completion", columns, evidence, proposal.rows, proposal.doubt)


def verdict_column(rows: Rows, found: Columns) -> str | None:
    """Return the column of booleans that rate the answers as good or bad, or None."""
    name = find_column(list(found), names.VERDICT_NAMES)
    flags = [row[name] for row in rows if name in row and not is_missing(row[name])] if name else []
    is_flag = flags and all(isinstance(v, bool) or str(v).lower() in ("true", "false") for v in flags)
    return name if is_flag else None
