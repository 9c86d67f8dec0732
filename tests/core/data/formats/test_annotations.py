"""A text with marked parts, and numbered utterances, are asked about; chunks of documents are not."""

import pytest

from core.data.formats.annotations import annotation_doubt
from core.data.formats.columns import profile
from core.data.formats.counted_rows import counted_doubt
from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, rows_of

WORDS = [["Ann", "sails", "to", "Oslo"]] * 4
TAGS = ["B-PER", "O", "O", "B-LOC"]
MARKED = {
    "objects": {"text": PROSE, "entities": [[{"start": 0, "end": 3, "label": "PER"}]] * 4},
    "doccano": {"text": PROSE, "entities": [[{"start_offset": 0, "end_offset": 3, "type": "PER"}]] * 4},
    "triples": {"text": PROSE, "spans": [[[0, 3, "PER"], [4, 9, "LOC"]]] * 4},
    "JSON in a cell": {"text": PROSE, "entities": ['[[0, 3, "PER"]]'] * 4},
    "CoNLL on the Hub": {"tokens": WORDS, "pos_tags": [[22] * 4] * 4, "ner_tags": [[1, 0, 0, 5]] * 4},
    "tags": {"text": PROSE, "tokens": WORDS, "tags": [TAGS] * 4},
    "numbers of tags": {"text": PROSE, "tokens": WORDS, "ner_tags": [[1, 0, 0, 5]] * 4},
}
UNMARKED = {
    "keywords": {"text": PROSE, "tags": [["sea", "moon"]] * 4},
    "lists of other lengths": {"text": PROSE, "tokens": WORDS, "tags": [["O"]] * 4},
    "answers with positions": {"text": PROSE, "answers": [{"text": ["Ann"], "answer_start": [0]}] * 4},
}


@pytest.mark.parametrize("name", MARKED)
def test_detect_asks_about_marked_parts_of_a_text(name):
    found = detect(rows_of(**MARKED[name]))
    assert found.reading.format == "undecided"
    assert "no format reads such marks" in found.evidence


@pytest.mark.parametrize("name", UNMARKED)
def test_other_lists_beside_a_text_raise_no_such_doubt(name):
    rows = rows_of(**UNMARKED[name])
    assert annotation_doubt(rows, profile(rows)) == ""


def talk(count=8, **columns):
    return [{name: value(i) for name, value in columns.items()} for i in range(count)]


def text(i):
    return f"{PROSE[i % 4]} ({i})"


NUMBERED = {
    "callers": talk(file=lambda i: f"sw{i // 4}", utt=lambda i: i % 4, caller=lambda i: "AB"[i % 2], text=text),
    "from 1": talk(scene=lambda i: i // 4, line_no=lambda i: i % 4 + 1, character=lambda i: f"C{i % 3}", line=text),
    "as text": talk(doc=lambda i: str(i // 4), n=lambda i: str(i % 4), speaker_name=lambda i: "AB"[i % 2], text=text),
}
OTHERS = {
    "chunks": talk(doc_id=lambda i: i // 4, chunk=lambda i: i % 4, text=text),
    "one author per document": talk(
        doc=lambda i: i // 4, chunk=lambda i: i % 4, author=lambda i: f"A{i // 4}", text=text
    ),
    "no numbers": talk(doc=lambda i: i // 4, speaker=lambda i: "AB"[i % 2], text=text),
    "numbers of rows": talk(doc=lambda i: i // 4, n=lambda i: i, speaker=lambda i: "AB"[i % 2], text=text),
}


@pytest.mark.parametrize("name", NUMBERED)
def test_detect_asks_about_numbered_utterances(name):
    found = detect(NUMBERED[name])
    assert found.reading.format == "undecided"
    assert "Each row is one message" in found.evidence


@pytest.mark.parametrize("name", OTHERS)
def test_other_numbered_texts_are_no_utterances(name):
    assert counted_doubt(OTHERS[name], profile(OTHERS[name])) == ""
