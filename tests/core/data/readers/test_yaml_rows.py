"""YAML is read like JSON, and the examples of Rasa one per row; what would grow or run code is refused."""

import pytest

from core.data.readers import read_rows
from core.errors import StudioError


def read(folder, text, name="rows.yml"):
    path, notes = folder / name, []
    path.write_text(text, encoding="utf-8")
    return [found.row for found in read_rows(path, name, note=notes.append)], notes


ROWS = [{"question": "Why?", "answer": "no"}, {"question": "When?", "answer": "2024-01-01"}]


@pytest.mark.parametrize("name", ["rows.yml", "rows.yaml"])
@pytest.mark.parametrize(
    "text",
    [
        "- question: Why?\n  answer: no\n- {question: When?, answer: 2024-01-01}\n",
        "faq:\n- question: Why?\n  answer: no\n- question: When?\n  answer: 2024-01-01\n",
        "question: Why?\nanswer: no\n---\nquestion: When?\nanswer: 2024-01-01\n",
    ],
)
def test_documents_are_read_as_rows(tmp_path, text, name):
    assert read(tmp_path, text, name)[0] == ROWS


def test_scalars_follow_yaml_1_2(tmp_path):
    text = "- {a: yes, b: off, c: 010, d: 3, e: 0.5, f: true, g: null, h: ~, i: '3', j: 1_000, k: 12:30}\n"
    expected = {"a": "yes", "b": "off", "c": "010", "d": 3, "e": 0.5, "f": True, "g": None, "h": None, "i": "3"}
    assert read(tmp_path, text)[0] == [expected | {"j": "1_000", "k": "12:30"}]


def test_corpus_of_chatterbot_is_conversations(tmp_path):
    rows, notes = read(
        tmp_path, "categories:\n- food\nconversations:\n- - Do you eat?\n  - I do not.\n- - Why\n  - So\n"
    )
    assert rows == [{"messages": ["Do you eat?", "I do not."]}, {"messages": ["Why", "So"]}]
    assert "'categories', which is not read" in notes[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x\n", r"has an alias \(\*name\) in line 2"),
        ("a: !!python/object/apply:os.system [ls]\n", "not valid YAML in line 1: could not determine a constructor"),
        ("a: [1\n", "not valid YAML in line"),
        ("a: 1\na: 2\n", "not valid YAML in line 1: names 'a' twice"),
        ("[" * 200 + "]" * 200, "nested too deeply"),
        ("a: !!int x\n", "not valid YAML"),
    ],
)
def test_other_yaml_is_refused_with_the_reason(tmp_path, text, words):
    with pytest.raises(StudioError, match=words):
        read(tmp_path, text)


RASA = """version: "3.1"
nlu:
- intent: greet
  examples: |
    - hey
    - hello there
- intent: faq/hours
  examples:
  - text: |
      when are you open on [Sunday](day:sun)?
- intent: fly
  examples: |
    - to [Rome]{"entity": "city", "role": "to"} [please]
- synonym: credit
  examples: |
    - card
responses:
  utter_faq/hours:
  - text: From nine to five.
rules: []
"""
EXAMPLES = [
    {"text": "hey", "intent": "greet"},
    {"text": "hello there", "intent": "greet"},
    {"text": "when are you open on Sunday?", "intent": "faq/hours",
     "entities": [{"value": "Sunday", "entity": "day:sun"}], "response": "From nine to five."},
    {"text": "to Rome [please]", "intent": "fly", "entities": [{"value": "Rome", "entity": "city"}]},
]  # fmt: skip


def test_examples_of_rasa_are_rows_without_the_marks_of_entities(tmp_path):
    rows, notes = read(tmp_path, RASA)
    assert rows == EXAMPLES
    assert notes == ["only the examples of intents in the data of Rasa are rows; not read: rules, synonym"]


def test_markdown_of_rasa_is_read_the_same(tmp_path):
    text = "## intent:greet\n- hey\n* hello there\n\n## intent: fly\n- to [Rome](city) [please]\n\n## synonym:a\n- b\n"
    rows, notes = read(tmp_path, text, "nlu.md")
    assert rows == [*EXAMPLES[:2], EXAMPLES[3]]
    assert "each example is a row" in notes[0]
    assert "not read: synonym" in notes[1]


def test_other_markdown_stays_text(tmp_path):
    text = "## Intent of the work\n- It is so.\n\n## Sea\n- It is salty.\n"
    assert [row.keys() for row in read(tmp_path, text, "notes.md")[0]] == [{"text"}] * 2
