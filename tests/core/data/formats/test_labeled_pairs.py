"""Two texts with a label: the page asks, and offers both texts as the question first."""

import pytest

from core.data.formats.detect import detect

FIRST = [f"A man number {i} sails alone on the sea." for i in range(12)]
SECOND = [f"Somebody is on the water in the boat {i}." for i in range(12)]
SHAPES = {
    "SNLI": ("sentence1", "sentence2", "gold_label", ["neutral", "entailment", "-"]),
    "MNLI": ("premise", "hypothesis", "label", [0, 1, 2]),
    "Quora": ("question1", "question2", "is_duplicate", ["0", "1", "1"]),
    "MRPC": ("text1", "text2", "label_text", ["equivalent", "not equivalent", "equivalent"]),
    "FEVER": ("claim", "evidence", "label", ["SUPPORTS", "REFUTES", "NOT ENOUGH INFO"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_two_texts_with_a_label_are_offered_first(name):
    first, second, label, values = SHAPES[name]
    rows = [{"pairID": f"{i}.jpg#4", first: FIRST[i], f"{first}_parse": f"(ROOT ({FIRST[i]}))", second: SECOND[i],
             label: values[i % 3]} for i in range(12)]  # fmt: skip
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert f"{first!r} and {second!r} may both belong to the question" in found.evidence
    messages = found.candidates[0].parse(rows[0])
    assert messages[0]["content"] == f"{FIRST[0]}\n\nWhat is the {label} of this text and the following?\n\n{SECOND[0]}"
    assert messages[1]["content"] == str(values[0])


def test_long_values_are_no_label():
    rows = [{"sentence1": a, "sentence2": b, "label": a + b} for a, b in zip(FIRST, SECOND, strict=True)]
    assert all("sentence2" not in one.extra for one in detect(rows).candidates)
