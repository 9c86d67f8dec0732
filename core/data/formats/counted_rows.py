"""Recognition of utterances, one per row, that are numbered within their conversation, under any names of columns.

A conversation is a run of rows with one value, in which another column counts up from its first number; the speaker is
a column of few values that changes within the runs. The chunks of documents are numbered, too, but have no speaker.
"""

import itertools

from core.data.formats.columns import Row, find_column, name_words
from core.data.formats.proposal import Columns, Rows
from core.data.formats.values import is_missing, number_of_text

_TEXT_NAMES = ("text", "content", "message", "body", "utterance", "sentence", "transcript", "line", "msg")
_MAX_SPEAKERS = 12
# If the runs are shorter than this on average, the column hardly names conversations.
_MIN_RUN = 2
_MIN_RUNS = 2
# Words of the name of a column that may hold the speaker, beside those whose values are letters or names.
_SPEAKER_WORDS = frozenset(
    ("caller", "speaker", "participant", "side", "party", "channel", "agent", "person", "character", "user", "name",
     "who", "actor", "from", "sender", "author", "role", "interlocutor")
)  # fmt: skip


def counted_doubt(rows: Rows, found: Columns) -> str:
    """Return the doubt that each row is an utterance of a conversation in another column; "" where it is not."""
    filled = [name for name in found if found[name].kind != "empty"]
    text = find_column(filled, _TEXT_NAMES)
    speakers = [name for name in filled if name != text and _SPEAKER_WORDS & set(name_words(name))]
    speakers = [name for name in speakers if 1 < len({str(row.get(name)) for row in rows}) <= _MAX_SPEAKERS]
    if not text or not speakers:
        return ""
    numbers = [name for name in filled if name not in (text, *speakers) and _are_whole(rows, name)]
    for talk in filled:
        runs = [list(run) for _, run in itertools.groupby(rows, key=lambda row: str(row.get(talk)))]
        if talk in (text, *speakers) or len(runs) < _MIN_RUNS or len(rows) < _MIN_RUN * len(runs):
            continue
        number = next((name for name in numbers if name != talk and all(_counts_up(run, name) for run in runs)), "")
        if number and any(_changes(runs, speaker) for speaker in speakers):
            return (
                f"each row is one message ({text!r}) of the conversation in {talk!r}, numbered by {number!r}; put all "
                "messages of a conversation, in order, into one row as a list of objects with role and content"
            )
    return ""


def _are_whole(rows: Rows, name: str) -> bool:
    values = [number_of_text(row[name]) for row in rows if not is_missing(row.get(name))]
    return len(values) == len(rows) and all(value is not None and value == int(value) for value in values)


def _counts_up(run: list[Row], name: str) -> bool:
    numbers = [number_of_text(row[name]) or 0 for row in run]
    return numbers[0] in (0, 1) and all(second == first + 1 for first, second in itertools.pairwise(numbers))


def _changes(runs: list[list[Row]], speaker: str) -> bool:
    """Return whether the speaker changes in most runs."""
    return 2 * sum(len({str(row.get(speaker)) for row in run}) > 1 for run in runs) > len(runs)
