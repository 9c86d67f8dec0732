"""Detection of the format of a data set, with the evidence, the runner-up, and a question where none is sure.

Every format that could fit is proposed with the columns it would read. A proposal is chosen only when it fits a clear
majority of the rows and nothing about it is a guess; otherwise the data set stays undecided, no row counts as usable,
and the page asks. A column of ids, categories or constants is never proposed as text to learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.data.formats.columns import Column, Row, profile
from core.data.formats.conversation import UnusableRow, find_problem
from core.data.formats.proposal import Proposal
from core.data.formats.proposals import proposals
from core.data.formats.reading import Reading, get_format
from core.data.formats.text_proposals import propose_prompts
from core.data.formats.values import is_missing

_MAJORITY = 0.5  # of the rows that hold text; a format must fit more than this share
_SHOWN_COLUMNS = 8


@dataclass(frozen=True)
class Detection:
    """How the rows of a data set are most likely read.

    Attributes:
        reading: the format that is sure, or "undecided".
        evidence: why, or the question that the user has to answer.
        runner_up: the next likely format with its evidence; "" where there is none.
        candidates: readings to choose from, the likeliest first.
    """

    reading: Reading
    evidence: str
    runner_up: str = ""
    candidates: list[Reading] = field(default_factory=list)

    @property
    def is_sure(self) -> bool:
        return self.reading.format != "undecided"


def detect(rows: Sequence[Row], prompts_only: bool = False) -> Detection | None:
    """Return how `rows`, the first of a data set, are read; None when they hold no text at all.

    Args:
        prompts_only: the rows are prompts of an evaluation, so that a column of questions without answers is enough.
    """
    found = profile(rows)
    if not _hold_text(found):
        return None
    texts = max(1, sum(any(_is_text(value) for value in row.values()) for row in rows))
    fitting = [proposal for proposal in proposals(rows, found) if proposal.rows]
    if prompts_only:
        fitting += [proposal for proposal in propose_prompts(rows, found) if proposal.rows]
    sure = [proposal for proposal in fitting if proposal.sure and proposal.rows > _MAJORITY * texts]
    # Where no row can be used in any format, the likeliest one gives the better reason.
    chosen = next((proposal for proposal in sure if _is_usable(proposal, rows)), sure[0] if sure else None)
    others = sorted((p for p in fitting if p is not chosen), key=lambda p: -p.rows)
    candidates = list(dict.fromkeys(p.reading.model_dump_json() for p in ([chosen] if chosen else []) + others))
    if chosen is None:
        return Detection(
            Reading(format="undecided"),
            _question(found, others),
            _in_words(others[0], rows) if others else "",
            [Reading.model_validate_json(text) for text in candidates],
        )
    return Detection(
        chosen.reading,
        f"{chosen.evidence}, in {chosen.rows} of the first {len(rows)} rows",
        _in_words(others[0], rows) if others else "",
        [Reading.model_validate_json(text) for text in candidates],
    )


def _is_text(value: object) -> bool:
    return isinstance(value, (str, list, dict)) and not is_missing(value)


def _hold_text(found: dict[str, Column]) -> bool:
    return any(column.characters or column.kind == "nested" for column in found.values())


def _is_usable(proposal: Proposal, rows: Sequence[Row]) -> bool:
    """Return whether at least one of the rows becomes a conversation; rows may lack answers, but not all of them."""
    for row in rows:
        try:
            if find_problem(proposal.reading.parse(row)) is None:
                return True
        except UnusableRow:
            continue
    return False


def _in_words(proposal: Proposal, rows: Sequence[Row]) -> str:
    label = get_format(proposal.reading.format).label
    return f"{label}: {proposal.evidence}, in {proposal.rows} of the first {len(rows)} rows"


def _question(found: dict[str, Column], others: list[Proposal]) -> str:
    names = [repr(name) for name in found]
    shown = ", ".join(names[:_SHOWN_COLUMNS]) + (", …" if len(names) > _SHOWN_COLUMNS else "")
    doubt = next((proposal.doubt for proposal in others if proposal.doubt), "")
    reason = f" {doubt[0].upper()}{doubt[1:]}." if doubt else ""
    return f"no format is sure for the columns {shown}.{reason} Choose how the rows are read"
