"""Detection of the format of a dataset from its first rows.

Every format that could fit is proposed together with the columns it would read. The first proposal is chosen that has
no doubt attached, fits more than half of the rows with text, and makes at least one of them a conversation. Without
one, the dataset stays "undecided": no row is usable, and the page asks the user to choose. A column of ids, categories
or constants is never proposed as text to train on.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core.data.formats.annotations import annotation_doubt
from core.data.formats.columns import Column, Row, find_column, profile
from core.data.formats.conversation import UnusableRow, find_problem
from core.data.formats.doubts import message_doubt, message_list_doubt
from core.data.formats.html_twins import html_twins
from core.data.formats.mixed_rows import mixed_doubt
from core.data.formats.proposal import QUESTION_NAMES, Proposal
from core.data.formats.proposals import proposals
from core.data.formats.reading import Reading, get_format
from core.data.formats.row_doubts import taken_columns
from core.data.formats.text_proposals import propose_prompts
from core.data.formats.values import is_missing, nested
from core.data.listing import list_some, of_first_rows
from core.system.counting import noun_for

# A format is chosen only if it fits more than this share of the rows that hold text.
_MAJORITY_SHARE = 0.5
_SHOWN_COLUMNS = 8
# Rows that are parsed to see what a reading makes of them.
_SAMPLE_ROWS = 5


@dataclass(frozen=True)
class Detection:
    """Result of the detection.

    Attributes:
        reading: The detected format with its columns, or "undecided".
        evidence: The reason for the choice, or the question that the user has to answer.
        runner_up: The next likely format with its evidence; "" if there is none.
        candidates: Readings to choose from, the likeliest first.
    """

    reading: Reading
    evidence: str
    runner_up: str = ""
    candidates: list[Reading] = field(default_factory=list)

    @property
    def is_sure(self) -> bool:
        """Return whether a format was detected."""
        return self.reading.format != "undecided"


def detect(rows: Sequence[Row], prompts_only: bool = False) -> Detection | None:
    """Detect the format of a dataset.

    Args:
        rows: The first rows of the dataset.
        prompts_only: The rows are prompts of an evaluation, so a column of questions without answers is enough.

    Returns:
        The detection, or None if the rows hold no text at all.
    """
    found = profile(rows)
    if not _has_text(found):
        return None
    texts = max(1, sum(any(_is_text(value) for value in row.values()) for row in rows))
    fitting = [proposal for proposal in _proposals(rows, found) if proposal.rows]
    if prompts_only:
        fitting += [proposal for proposal in propose_prompts(rows, found) if proposal.rows]
    certain = [proposal for proposal in fitting if proposal.is_certain and proposal.rows > _MAJORITY_SHARE * texts]
    chosen = next((proposal for proposal in certain if _why_unusable(proposal, rows) is None), None)
    others = sorted((p for p in fitting if p is not chosen), key=lambda p: -p.rows)
    candidates = _candidates(chosen, others, found, rows)
    if chosen is None:
        return Detection(
            Reading(format="undecided"),
            _question(found, others, rows),
            _describe(others[0], rows) if others else "",
            candidates,
        )
    # Two readings may have the same description; the runner-up must have another one.
    second = next((words for other in others if (words := _describe(other, rows)) != _describe(chosen, rows)), "")
    return Detection(
        chosen.reading,
        f"{chosen.evidence}, in {of_first_rows(chosen.rows, len(rows))}",
        second,
        candidates,
    )


def _proposals(rows: Sequence[Row], found: dict[str, Column]) -> list[Proposal]:
    """Return all proposals, none of which reads the HTML of a text that is in another column without tags."""
    twins = html_twins(rows, found)
    if not twins:
        return list(proposals(rows, found))
    plain = [{name: value for name, value in row.items() if name not in twins} for row in rows]
    return [
        replace(one, reading=_with_columns(one.reading, plain))
        for one in proposals(plain, {name: column for name, column in found.items() if name not in twins})
    ]


def _with_columns(reading: Reading, rows: Sequence[Row]) -> Reading:
    """Return a reading that names each of its columns, so that it reads no other one of a usual name."""
    slots = get_format(reading.format).slots
    taken = {slot: name for slot, name in taken_columns(rows, reading).items() if slot in slots}
    return reading.model_copy(update={"columns": reading.columns | taken})


def _candidates(
    chosen: Proposal | None, others: Sequence[Proposal], found: dict[str, Column], rows: Sequence[Row]
) -> list[Reading]:
    """Return the readings to offer, each once, the chosen one first."""
    offered = _unlikely_last(others, found, rows)
    # Readings are unhashable models: their JSON removes duplicates and keeps the order.
    texts = dict.fromkeys(p.reading.model_dump_json() for p in ([chosen] if chosen else []) + list(offered))
    return [Reading.model_validate_json(text) for text in texts]


def _unlikely_last(others: Sequence[Proposal], found: dict[str, Column], rows: Sequence[Row]) -> list[Proposal]:
    """Return proposals with the unlikeliest last: raw JSON, and plain text where a column holds questions.

    A list or an object that is written as JSON, or the JSON in a text cell, is rarely meant to be trained on.
    """
    has_questions = bool(find_column(list(found), QUESTION_NAMES))

    def rank(proposal: Proposal) -> tuple[int, bool, bool]:
        form = proposal.reading.format
        is_text, is_json = form == "text", not proposal.means_json and _writes_json(proposal, rows)
        return (2 if is_text and is_json else has_questions and is_text, is_json, form != "multiple_choice")

    return sorted(others, key=rank)


def _writes_json(proposal: Proposal, rows: Sequence[Row]) -> bool:
    """Return whether a reading makes a whole turn of the JSON of a list or an object in its first usable row."""
    for row in rows[:_SAMPLE_ROWS]:
        with contextlib.suppress(UnusableRow):
            contents = [message["content"] for message in proposal.reading.parse(row) if message["role"] != "tool"]
            return any(not isinstance(nested(content), str) for content in contents)
    return False


def _is_text(value: object) -> bool:
    return isinstance(value, (str, list, dict)) and not is_missing(value)


def _has_text(found: dict[str, Column]) -> bool:
    return any(column.characters or column.kind == "nested" for column in found.values())


def _why_unusable(proposal: Proposal, rows: Sequence[Row]) -> str | None:
    """Return why no row becomes a conversation: the reason of the first row. None if at least one row does."""
    reasons: list[str] = []
    for row in rows:
        try:
            reason = find_problem(proposal.reading.parse(row))
        except UnusableRow as error:
            reason = str(error)
        if reason is None:
            return None
        reasons.append(reason)
    return reasons[0] if reasons else "there is no row"


def _describe(proposal: Proposal, rows: Sequence[Row]) -> str:
    label = get_format(proposal.reading.format).label
    return f"{label}: {proposal.evidence}, in {of_first_rows(proposal.rows, len(rows))}"


def _question(found: dict[str, Column], others: list[Proposal], rows: Sequence[Row]) -> str:
    names = [repr(name) for name in found]
    # The sentence has no full stop: the page and the errors that show it continue from here.
    shown = list_some(names, _SHOWN_COLUMNS)
    doubt = next((proposal.doubt for proposal in _unlikely_last(others, found, rows) if proposal.doubt), "")
    if certain := next((proposal for proposal in others if proposal.is_certain), None):
        label = get_format(certain.reading.format).label
        doubt = f"no row can be used as {label} ({_why_unusable(certain, rows) or 'only some rows fit'})"
        # Another reading of the same format may be what the file means.
        same = (p for p in others if p.doubt and p.reading.format == certain.reading.format)
        if other := next((proposal for proposal in same if _why_unusable(proposal, rows) is None), None):
            doubt = f"{doubt}; {other.doubt}"
    if mixed := mixed_doubt(rows):
        # The messages of a chat have different fields.
        mixed = message_doubt(rows, found) or mixed
    doubt = mixed or doubt or message_list_doubt(rows, found) or annotation_doubt(rows, found)
    if not any(get_format(proposal.reading.format).name != "text" for proposal in others):
        convert = "write one column with the question and one with the answer, such as prompt and completion"
        doubt = f"{doubt}; {convert}, if the file has both" if doubt else f"{convert}, or one list of turns"
    reason = f" {doubt[0].upper()}{doubt[1:]}." if doubt else ""
    columns = noun_for(len(names), "column")
    return f"no format is certain for the {columns} {shown}.{reason} Choose how the rows are read"
