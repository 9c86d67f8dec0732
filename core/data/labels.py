"""Labels of a subset for text classification: the text and the label of each row, and the list of all labels.

A row is labeled if it is one question with one answer, as the format "text with a label" makes it; the answer is the
label. That format writes a question around the text ("{text}", "What is the sentiment?"), which a classifier must not
read: `Frame` removes it. Rows of other formats whose answers are labels, such as an instruction with the answer
"positive", are used with the whole question as the text.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel

from core.data import table
from core.data.formats import Message, Reading, is_plain
from core.data.listing import list_some
from core.data.subset import Subset
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted

MAX_LABELS = 1_000
_SHOWN = 4
_OTHER_TASK = "Choose a subset of a dataset that is read as “text with a label”, or set Task to generate."


class Frame(BaseModel):
    """Text that a reading writes before and after the text of a row.

    Attributes:
        prefix: Before the text.
        suffix: After the text.
    """

    prefix: str = ""
    suffix: str = ""

    def text_of(self, question: str) -> str:
        """Return a question without the frame; one that does not have it is returned as it is."""
        end = len(question) - len(self.suffix)
        # The name of the label's column is a part of the frame; a column is found in upper case, too.
        starts = question[: len(self.prefix)].lower() == self.prefix.lower()
        if len(self.prefix) <= end and starts and question[end:].lower() == self.suffix.lower():
            question = question[len(self.prefix) : end]
        return question.strip()


@dataclass(frozen=True)
class LabeledText:
    """A text with its label.

    Attributes:
        row: Row number in the source.
        text: What the classifier reads.
        label: As it is in the data.
    """

    row: int
    text: str
    label: str


@dataclass
class LabeledRows:
    """Labeled rows of a split.

    Attributes:
        rows: Those with a text and a label.
        left_out: Numbers of the others, by reason.
    """

    rows: list[LabeledText] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class Classes(BaseModel):
    """The labels that a classifier chooses from.

    Attributes:
        names: The labels in their order; the index of a label is its class.
        merge: Whether labels that differ only in case or spaces are the same.
    """

    names: list[str]
    merge: bool = True

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {self._key(name): index for index, name in enumerate(self.names)}

    def _key(self, label: str) -> str:
        return _key(label) if self.merge else label

    def class_of(self, label: str) -> int | None:
        """Return the class of a label as it is in the data; None for an unknown one."""
        return self._indices.get(self._key(label))


@dataclass(frozen=True)
class Labels:
    """The labels of rows, and how often each occurs.

    Attributes:
        classes: The labels in their order.
        counts: Rows of each label, in the same order.
        merged: Other spellings that count as a label, by that spelling.
        similar: Labels that differ from another one only in case or spaces, and are kept apart.
    """

    classes: Classes
    counts: list[int]
    merged: dict[str, str]
    similar: list[str]


def frame_of(settings: Settings, subset: Subset) -> Frame:
    """Return the frame around the texts of a subset; an empty one if its dataset is not read as text with a label.

    Raises:
        StudioError: The dataset was removed, and the recipe does not say how it was read.
    """
    reading = subset.recipe.reading or table.find(settings, subset.recipe.dataset).detected
    return _frame(reading) if reading and reading.format == "label" else Frame()


def _frame(reading: Reading) -> Frame:
    # As the parser fills it: {label} becomes the name of the column.
    flags = ", ".join(name for name, use in reading.extra.items() if use == "label")
    template = reading.prompt.replace("{label}", flags or reading.columns.get("label") or "label")
    prefix, _, suffix = template.partition("{text}")
    return Frame(prefix=prefix, suffix=suffix)


def read_labels(rows: Sequence[tuple[int, list[Message]]], frame: Frame) -> LabeledRows:
    """Return the texts and labels of rows, and count those without."""
    found = LabeledRows()
    for number, messages in rows:
        turns = [message for message in messages if message["role"] != "system"]
        if reason := _why_unlabeled(turns):
            found.left_out[reason] += 1
        elif text := frame.text_of(turns[0]["content"]):
            found.rows.append(LabeledText(number, text, turns[1]["content"]))
        else:
            found.left_out["the text is empty"] += 1
    return found


def _why_unlabeled(turns: list[Message]) -> str:
    """Return why a row without its system prompt has no label, as a part of a sentence; empty if it has one."""
    if is_plain(turns) or not turns or turns[-1]["role"] != "assistant":
        return "the row has no label"
    if [turn["role"] for turn in turns] != ["user", "assistant"]:
        return "the row has several turns, and a classifier reads one text"
    if turns[-1].get("loss") is False:
        return "the answer carries no loss"
    return "" if turns[-1]["content"].strip() else "the label is empty"


def collect(rows: Sequence[LabeledText], merge: bool) -> Labels:
    """Return the labels of rows, sorted; numbers are sorted by value.

    Args:
        rows: Labeled rows.
        merge: Whether labels that differ only in case or spaces are one label, in its most frequent spelling.
    """
    spellings: dict[str, Counter[str]] = {}
    for row in rows:
        spellings.setdefault(_key(row.label), Counter())[row.label] += 1
    if not merge:
        counts = Counter(row.label for row in rows)
        names = sorted(counts, key=_order)
        similar = [name for name in names if len(spellings[_key(name)]) > 1]
        return Labels(Classes(names=names, merge=False), [counts[name] for name in names], {}, similar)
    merged, counts = {}, Counter()
    for found in spellings.values():
        # If spellings are equally frequent, the first in alphabetical order is chosen, whatever the order of the rows.
        name = " ".join(min(found, key=lambda spelling: (-found[spelling], spelling)).split())
        counts[name] = found.total()
        merged |= {spelling: name for spelling in found if spelling != name}
    names = sorted(counts, key=_order)
    return Labels(Classes(names=names), [counts[name] for name in names], merged, [])


def _key(label: str) -> str:
    return " ".join(label.split()).casefold()


def _order(label: str) -> tuple[int, float, str, str]:
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (0, number, "", label) if math.isfinite(number) else (1, 0.0, label.casefold(), label)


def require(labels: Labels, left_out: Counter[str], subset: str) -> None:
    """Check that a classifier can be trained on labels.

    Args:
        labels: The labels of the rows to train on.
        left_out: Rows without a label, by reason.
        subset: Name of the subset.

    Raises:
        StudioError: There is no label, only one, more than `MAX_LABELS`, or none that occurs twice.
    """
    names = labels.classes.names
    count = len(names)
    if not count:
        reasons = "; ".join(f"{rows:,} × {reason}" for reason, rows in left_out.items())
        raise StudioError(f"No row of {subset!r} has a label ({reasons or 'it has no rows'}). {_OTHER_TASK}")
    if count == 1:
        raise StudioError(
            f"All labeled rows of {subset!r} have the label {names[0]!r}, and a classifier needs at least "
            f"two labels. {_OTHER_TASK}"
        )
    if count > MAX_LABELS:
        raise StudioError(
            f"{subset!r} has {count:,} different labels, and a classifier takes at most {MAX_LABELS:,}. Its answers "
            f"may be texts, not labels. {_OTHER_TASK}"
        )
    if max(labels.counts) == 1 and count > 2:
        raise StudioError(
            f"No label of {subset!r} occurs twice, so its {count:,} answers are texts, not labels. {_OTHER_TASK}"
        )


def describe(labels: Labels) -> list[str]:
    """Return notes about labels: how many rows each has, and what was merged or kept apart."""
    pairs = sorted(zip(labels.counts, labels.classes.names, strict=True), key=lambda pair: -pair[0])
    shown = list_some([f"{name!r} ({counted(rows, 'row')})" for rows, name in pairs], _SHOWN)
    share = pairs[0][0] / sum(labels.counts)
    notes = [
        f"{len(pairs):,} labels: {shown}. The most frequent one makes up {share:.0%} of the rows, which is the "
        "accuracy of always choosing it."
    ]
    if labels.merged:
        shown = list_some([f"{old!r} as {new!r}" for old, new in labels.merged.items()], _SHOWN)
        notes.append(
            f"Labels that differ only in case or spaces are one label: {shown}. Turn off Merge labels to separate them."
        )
    if labels.similar:
        shown = list_some(map(repr, labels.similar), _SHOWN)
        notes.append(
            f"Labels that differ only in case or spaces are kept apart: {shown}. Turn on Merge labels to join them."
        )
    return notes
