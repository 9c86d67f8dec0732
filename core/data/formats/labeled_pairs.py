"""Proposals of two texts with a label of what they are to each other, as in SNLI, MRPC or Quora's questions."""

from collections.abc import Iterator

from core.data.formats import columns as names
from core.data.formats.columns import find_column
from core.data.formats.proposal import Columns, Proposal, Rows, count_present
from core.data.formats.reading import Reading
from core.data.formats.values import is_missing

_PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_a", "text_b"), ("question1", "question2"), ("s1", "s2"), ("claim", "evidence"),
    ("question", "sentence"), ("query", "passage"), ("document", "claim"),
)  # fmt: skip
_LABEL_NAMES = (*names.LABEL_NAMES, "is_duplicate", "is_paraphrase", "entailment", "relevance", "verdict", "similarity")
_MAX_LABELS = 20
_MAX_CHARACTERS = 40
LABEL_PROMPT = "{text}\n\nWhat is the {label} of this text and the following?"


def propose_labeled_pairs(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose two texts as the question about their label, the second one as context; always with doubt."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short", "category")]
    for wanted in _PAIRS:
        first, second = (find_column(texts, (name,)) for name in wanted)
        label = find_column([name for name in found if name not in (first, second)], _LABEL_NAMES)
        if first and second and label and _is_label(rows, label):
            reading = Reading(
                format="label",
                columns={"text": first, "label": label},
                extra={second: "context"},
                prompt=LABEL_PROMPT,
            )
            evidence = f"the texts {first!r} and {second!r} with the label {label!r}"
            doubt = f"{first!r} and {second!r} may both belong to the question, and {label!r} may be the answer"
            yield Proposal(reading, evidence, count_present(rows, first, second, label), doubt)


def _is_label(rows: Rows, name: str) -> bool:
    values = {str(row[name]) for row in rows if name in row and not is_missing(row[name])}
    return 1 <= len(values) <= _MAX_LABELS and max(map(len, values)) <= _MAX_CHARACTERS
