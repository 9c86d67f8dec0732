"""Passages beside a question are one text with their titles; other lists and objects stay as they were."""

import pytest

from core.data.formats import Reading

TEXT = "Salt\nIt is salty. Rivers.\n\nTide\nThe moon."
PLAIN = "It is salty. Rivers.\n\nThe moon."
PASSAGES = {
    "HotpotQA": ([["Salt", ["It is salty.", " Rivers."]], ["Tide", ["The moon."]]], TEXT),
    "HotpotQA without spaces": ([["Salt", ["It is salty.", "Rivers."]], ["Tide", ["The moon."]]], TEXT),
    "HotpotQA on the Hub": (
        {"title": ["Salt", "Tide"], "sentences": [["It is salty.", " Rivers."], ["The moon."]]}, TEXT),
    "PubMedQA": ({"contexts": ["It is salty. Rivers.", "The moon."], "labels": ["A", "B"]}, PLAIN),
    "MS MARCO": ({"is_selected": [0, 1], "passage_text": ["It is salty. Rivers.", "The moon."]}, PLAIN),
    "objects": ([{"title": "Salt", "text": "It is salty. Rivers."}, {"title": "Tide", "text": "The moon."}], TEXT),
    "LangChain": ([{"page_content": "It is salty. Rivers.", "metadata": {"source": "a"}},
                   {"page_content": "The moon.", "metadata": {"source": "b"}}], PLAIN),
    "JSON in a cell": ('[{"text": "It is salty. Rivers."}, {"text": "The moon."}]', PLAIN),
}  # fmt: skip


@pytest.mark.parametrize("slot", ["context", "extra", "input"])
@pytest.mark.parametrize("name", PASSAGES)
def test_passages_follow_the_question_as_text(name, slot):
    value, expected = PASSAGES[name]
    if slot == "input":
        row, reading = {"instruction": "Why?", "input": value, "output": "So."}, Reading(format="alpaca")
    else:
        extra = {"found": "context"} if slot == "extra" else {}
        row = {"prompt": "Why?", "completion": "So.", "found" if extra else "context": value}
        reading = Reading(format="prompt_completion", extra=extra)
    parsed = reading.read(row)
    assert parsed.messages[0]["content"] == f"Why?\n\n{expected}"
    assert any("is a list of passages" in note for note in parsed.notes)


@pytest.mark.parametrize(
    ("value", "unused"),
    [(PASSAGES["PubMedQA"][0], "labels"), (PASSAGES["MS MARCO"][0], "is_selected"),
     (PASSAGES["LangChain"][0], "metadata")],
)  # fmt: skip
def test_field_beside_a_passage_is_noted(value, unused):
    parsed = Reading(format="prompt_completion").read({"prompt": "Why?", "completion": "So.", "context": value})
    assert f"the field {unused!r} of the context is not used" in parsed.notes


@pytest.mark.parametrize(
    "value", [{"city": "Bergen"}, [1, 2], [{"a": 1}], {"text": "It is."}, [["a", 1]], [{"text": "a"}, {"text": 3}]]
)
def test_other_values_are_written_as_json(value):
    parsed = Reading(format="prompt_completion").read({"prompt": "Why?", "completion": "So.", "context": value})
    assert parsed.messages[0]["content"][len("Why?\n\n")] in "[{"
    assert any("is written as text" in note for note in parsed.notes)
