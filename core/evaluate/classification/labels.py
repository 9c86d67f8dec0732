"""The labels of a prompt set, and the label that a free answer names.

A set is one of labels if its references are few short texts that occur again and again. Labels are compared without
case and with single spaces, as people and models write them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_LABELS = 1_000
# Longer references are answers, not labels.
_MAX_LABEL_CHARACTERS = 60
# On average, each label must occur this many times: names and dates are short as well, but rarely repeat.
_MIN_MEAN_COUNT = 3
_MIN_ROWS = 4
# Marks that belong to labels such as "C#" and "50%", so they are no quotes or full stops around one.
_PART_OF_LABEL = "#%&@"
# Words before a label, as in "Label: positive".
_LEAD = re.compile(
    r"^(?:the\s+)?(?:label|answer|category|class|sentiment|topic|intent|it)\s*(?:is|:|=|-)\s*", re.IGNORECASE
)


def normalize(text: str) -> str:
    """Return a label in the form in which labels are compared: without quotes, brackets and full stops around it."""
    text = " ".join(text.split()).casefold()
    inside = [index for index, character in enumerate(text) if not _is_mark(character)]
    # A label may be made of marks alone.
    return text[inside[0] : inside[-1] + 1] if inside else text


def _is_mark(character: str) -> bool:
    return character in " `" or (unicodedata.category(character)[0] == "P" and character not in _PART_OF_LABEL)


@dataclass(frozen=True)
class LabelSet:
    """The labels that answers can name.

    Attributes:
        names: Each label in its most frequent spelling, in alphabetical order.
        merged: Other spellings by the label that they count as, for the report.
    """

    names: list[str]
    merged: dict[str, list[str]]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {normalize(name): index for index, name in enumerate(self.names)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Longest first: "not spam" must not be read as "spam".
        labels = sorted(self._index, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, labels))})(?!\w)")

    def index_of(self, reference: str) -> int | None:
        """Return the number of the label that a reference is; None if it is none."""
        return self._index.get(normalize(reference))

    def parse(self, answer: str) -> int | None:
        """Return the number of the label that an answer names; None if it names none, or several.

        The first line that is not empty counts if it is a label, alone or after words such as "Label:". Otherwise the
        whole answer counts if exactly one label occurs in it.
        """
        first = next((line for line in answer.splitlines() if line.strip()), "")
        for text in (first, _LEAD.sub("", first.strip(), count=1)):
            if (found := self._index.get(normalize(text))) is not None:
                return found
        named = set(self._pattern.findall(" ".join(answer.split()).casefold()))
        return self._index[named.pop()] if len(named) == 1 else None


def find_labels(references: Iterable[str]) -> LabelSet | None:
    """Return the labels of a set of references; None if they are answers rather than labels.

    Args:
        references: One per prompt; blank ones do not count.
    """
    given = [reference for reference in references if reference.strip()]
    spellings: dict[str, Counter[str]] = {}
    for reference in given:
        if len(reference) > _MAX_LABEL_CHARACTERS or "\n" in reference.strip():
            return None
        if key := normalize(reference):
            spellings.setdefault(key, Counter())[" ".join(reference.split())] += 1
    if len(given) < _MIN_ROWS or not 2 <= len(spellings) <= MAX_LABELS:
        return None
    if len(given) < _MIN_MEAN_COUNT * len(spellings):
        return None
    return _label_set(spellings)


def label_set(labels: Sequence[str]) -> LabelSet:
    """Return the set of given labels, such as those of a classifier."""
    spellings: dict[str, Counter[str]] = {}
    for label in labels:
        spellings.setdefault(normalize(label), Counter())[" ".join(label.split())] += 1
    return _label_set(spellings)


def _label_set(spellings: dict[str, Counter[str]]) -> LabelSet:
    # If spellings are equally frequent, the first in alphabetical order is chosen, whatever the order of the rows.
    best = {key: min(found, key=lambda name: (-found[name], name)) for key, found in spellings.items()}
    names = sorted(best.values(), key=str.casefold)
    merged = {best[key]: sorted(set(found) - {best[key]}) for key, found in spellings.items() if len(found) > 1}
    return LabelSet(names, merged)
