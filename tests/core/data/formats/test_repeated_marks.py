"""Marks that most turns of a dataset share: left out where they are a template's, named in a note otherwise."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import parse_rows
from core.data.formats import Reading, detect
from core.data.formats.repeated_marks import KEEP_MARKS, RepeatedMarks, find_repeated_marks
from core.data.rows import Rows
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.public_shapes import SHAPES

QUESTIONS = [
    "How do tides come about?",
    "Who keeps the light?",
    "Why is the sea salty?",
    "Name a bird.",
    "What is 2+2?",
]
ANSWERS = ["The moon pulls the water.", "The keeper does", "Rivers carry salt there.", "Gull", "4"]


def read_all(questions, answers):
    """Return the questions, the answers and the notes of rows that are read like those of one dataset."""
    rows = [{"prompt": q, "completion": a} for q, a in zip(questions, answers, strict=True)]
    reading = Reading(format="prompt_completion")
    marks = reading.find_marks(rows)
    parsed = [reading.read(row, marks) for row in rows]
    contents = [[message["content"] for message in one.messages] for one in parsed]
    return [q for q, _ in contents], [a for _, a in contents], [one.notes for one in parsed]


def wrapped(texts, pattern):
    return [pattern.format(text) for text in texts]


END_MARKS = [
    "</s>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>", "<eos>", "<|end_of_turn|>", "<|EOT|>",
    "[EOS]", "<｜end▁of▁sentence｜>", "<|eom_id|>", "<|return|>", "<|END_OF_TURN_TOKEN|>", "<|endofturn|>", "[EOT]",
    "</s></s>", "<|end|>\n", " </s>",
]  # fmt: skip


@pytest.mark.parametrize("end", END_MARKS)
def test_end_mark_of_most_answers_is_left_out(end):
    answers = wrapped(ANSWERS[:4], "{}" + end) + ANSWERS[4:]
    _, found, notes = read_all(QUESTIONS, answers)
    assert found == ANSWERS
    assert [len(one) for one in notes] == [1, 1, 1, 1, 0]
    assert "at the end of an answer is left out" in notes[0][0]


def test_different_end_marks_of_most_answers_are_left_out():
    answers = [answer + end for answer, end in zip(ANSWERS, END_MARKS[4:9], strict=True)]
    assert read_all(QUESTIONS, answers)[1] == ANSWERS


@pytest.mark.parametrize("pattern", ["<s>{}</s>", "<s> {} </s>", "<bos>{}<eos>", "<|begin_of_text|>{}<|eot_id|>",
                                     "<|im_start|>{}<|im_end|>", "[BOS]{}[EOS]", "<|assistant|>\n{}"])  # fmt: skip
def test_marks_around_most_answers_are_left_out(pattern):
    _, found, notes = read_all(QUESTIONS, wrapped(ANSWERS, pattern))
    assert found == ANSWERS
    assert all("left out" in note for one in notes for note in one)


@pytest.mark.parametrize("end", ["\n\n### End", "\n### End\n", "\n\n###"])
def test_heading_without_a_text_at_the_end_of_most_answers_is_left_out(end):
    assert read_all(QUESTIONS, wrapped(ANSWERS, "{}" + end))[1] == ANSWERS


@pytest.mark.parametrize(
    "pattern", ["{}\n\n###\n\n", "<s>{}", "{}</s>", "<|startofturn|>{}", "{}<|im_end|>", "{}[SEP]"]
)
def test_mark_of_most_questions_is_left_out(pattern):
    found, answers, notes = read_all(wrapped(QUESTIONS, pattern), ANSWERS)
    assert (found, answers) == (QUESTIONS, ANSWERS)
    assert all(len(one) == 1 and "of a question is left out" in one[0] for one in notes)


@pytest.mark.parametrize(
    ("pattern", "mark"),
    [
        ("{} END", "'END' ends"),
        ("{} STOP", "'STOP' ends"),
        ("<|positive|> {}", "'<|positive|>' begins"),
        ("[RESPONSE] {}", "'[RESPONSE]' begins"),
        ("<final>{}</final>", "'<final>' begins"),
        ("Look.\n<|sep_here|>\n{}", "'<|sep_here|>' is in"),
        ("I search. <lookup> {}", "'<lookup>' is in"),
        ("CALL\nTOOL: x\n{}", "'TOOL:' begins a line of"),
        ("Thought: hm\nObservation: x\n{}", "'Observation:' begins a line of"),
        ("call\n### Observation: x\n{}", "'### Observation:' begins a line of"),
        ("call\nFunction: x\n{}", "'Function:' begins a line of"),
        ("call\nFUNCTION RESPONSE: x\n{}", "'FUNCTION RESPONSE:' begins a line of"),
        ("{}\nUSER: So?", "'USER:' begins a line of"),
        ("AI: {}", "'AI:' begins a line of"),
        ("{}\n\n### Instruction:\nNext", "'### Instruction:' begins a line of"),
        ("{}\n**Human:** So?", "'**Human:**' begins a line of"),
    ],
)
def test_other_mark_of_most_answers_is_trained_and_named(pattern, mark):
    answers = wrapped(ANSWERS[:4], pattern) + ANSWERS[4:]
    _, found, notes = read_all(QUESTIONS, answers)
    assert found == answers
    assert f"{mark} an answer, as in most rows; it is trained as text" in notes[0]
    assert notes[4] == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which token ends a Llama answer?", "It ends with </s>"),
        ("Close <s>text", "text</s>"),
        ("Close the sentence marked by <|im_start|>.", "One adds <|im_end|>."),
        ("What ends a turn?", "<|eot_id|>"),
        ("How does ChatML end a turn?", "With <|im_end|>"),
        ("Name the padding of BERT.", "Use [PAD] and [SEP]"),
        ("Name the token.", "The tokens are <s> and </s>"),
        ("Which token?", "The mark is <|endoftext|>. Not <|im_end|>"),
    ],
)
def test_end_mark_that_an_answer_speaks_about_stays(question, answer):
    _, found, notes = read_all([*QUESTIONS, question], [*ANSWERS, answer])
    assert found == [*ANSWERS, answer]
    assert all("trained as text" in note for note in notes[-1])
    assert notes[:-1] == [[]] * len(QUESTIONS)


@pytest.mark.parametrize("end", ["</s>", " <|im_end|>\n", "[EOS]"])
def test_end_mark_after_a_finished_sentence_is_left_out_of_few_answers_too(end):
    _, found, _ = read_all(QUESTIONS, [ANSWERS[0] + end, *ANSWERS[1:]])
    assert found == ANSWERS


CODE = "```python\nfor i in range(3):\n    print(i)\n```"
ORDINARY = {
    "headings": [f"### Summary\n{text}\n\n### Details\n- a\n- b" for text in ANSWERS],
    "lists": [f"1. {text}\n2. Step 2: go on\n\nStep 3: {text}" for text in ANSWERS],
    "HTML": [f"<p>{text}</p>" for text in ANSWERS],
    "a page": [f"<html><body><main-view>{text}</main-view></body></html>" for text in ANSWERS],
    "XML": [f"<note><to>a</to><from>b</from><subject>c</subject><text>{text}</text></note>" for text in ANSWERS],
    "struck through": ["<s>So</s> it is.", "It is <s>so</s>", *ANSWERS[2:]],
    "code": [f"{text}\n\n{CODE}" for text in ANSWERS],
    "SQL": [f"BEGIN\n  SELECT {i};\nEND" for i in range(5)],
    "JSON": [f'{{"user": "a", "items": [{i}]}}' for i in range(5)],
    "YAML": [f"services:\n  user: root\n  system: {i}" for i in range(5)],
    "labels": [f"Answer: {text}\nExplanation: {text}\nResults: {text}\nOutput: 4" for text in ANSWERS],
    "thoughts": [f"<think>\nhm\n</think>\n\n{text}" for text in ANSWERS],
    "tool calls": ['<tool_call>\n{"name": "f"}\n</tool_call>'] * 5,
    "one label": ["[POSITIVE]", "[POSITIVE]", "[POSITIVE]", "[NEGATIVE]", "<|yes|>"],
    "few marks": ["a\nTOOL: b", "### Observation: c", "d END", *ANSWERS[3:]],
    "tables": [f"| a | b |\n|---|---|\n| {i} | [x] |" for i in range(5)],
    "links": [f"See [1] and [the page](https://example.org/{i}) <https://example.org>" for i in range(5)],
}


@pytest.mark.parametrize("texts", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_texts_are_unchanged_without_a_note(texts):
    assert read_all(QUESTIONS, texts)[1:] == (texts, [[]] * 5)
    assert read_all(texts, ANSWERS)[0] == texts


WORDS = st.sampled_from(
    [
        "the",
        "moon",
        "Note:",
        "**bold**",
        "`x`",
        "(a)",
        "[b]",
        "4.5",
        "->",
        "user",
        "function",
        "end",
        ">",
        "#tag",
        "END",
    ]
)
LINES = st.builds(
    lambda begin, words, end: begin + " ".join(words) + end,
    st.sampled_from(["", "- ", "1. ", "# ", "### ", "> ", "Step 1: ", "| ", "    ", "**", "\n"]),
    st.lists(WORDS, min_size=1, max_size=8),
    st.sampled_from([".", "", "!", "?", ":", "**", "`", ")", "…"]),
)
PROSE = st.lists(LINES, min_size=1, max_size=4).map("\n".join)


@settings(max_examples=50)
@given(st.lists(PROSE, min_size=3, max_size=6))
def test_random_prose_is_neither_cut_nor_noted(texts):
    # A word after them: where most turns end with "->" or "END", it is named as a mark.
    conversations = [dialog(f"{text} So?", f"{text} So.") for text in texts]
    marks = find_repeated_marks(conversations)
    for messages in conversations:
        assert marks.apply(messages, pytest.fail) == messages


@given(st.lists(st.text(), max_size=5), st.text())
def test_any_text_is_shortened_at_most(texts, text):
    marks = find_repeated_marks([dialog("a", text) for text in texts])
    [_, answer] = marks.apply(dialog("a", text), lambda sentence: None)
    assert answer["content"] in text
    assert KEEP_MARKS.apply(dialog("a", text), pytest.fail) == dialog("a", text)


@pytest.mark.parametrize("pattern", ["<s>{}</s>", "{}<|endoftext|>", "{}\n<｜end▁of▁sentence｜>", "{}</s>"])
def test_marks_around_most_rows_of_plain_text_are_left_out(pattern):
    rows = [{"text": text} for text in wrapped(ANSWERS, pattern)]
    reading = Reading(format="text")
    marks = reading.find_marks(rows)
    assert [reading.read(row, marks).messages[0]["content"] for row in rows] == ANSWERS


@pytest.mark.parametrize("mark", ["<|endoftext|>", "</s>", "<eos>", "[SEP]", "<｜end▁of▁sentence｜>"])
def test_marks_between_packed_documents_are_noted(mark):
    rows = [{"text": f"{text}{mark}{text}"} for text in ANSWERS]
    reading = Reading(format="text")
    found = reading.read(rows[0], reading.find_marks(rows))
    assert found.messages[0]["content"] == rows[0]["text"]
    assert f"{mark!r} is in a text, as in most rows; it is trained as text" in found.notes


def test_plain_text_with_labels_and_tags_is_unchanged_without_a_note():
    rows = [{"text": f"User: {text}\nTOOL: x\n<|tag|> <name>\n### End of all"} for text in ANSWERS]
    marks = Reading(format="text").find_marks(rows)
    assert marks == RepeatedMarks()


@pytest.mark.parametrize(
    "pattern",
    ["USER: {q}\nASSISTANT: {a}", "### Instruction:\n{q}\n\n### Response:\n{a}", "### Human: {q}\n### Assistant: {a}",
     "\n\nHuman: {q}\n\nAssistant: {a}"],
)  # fmt: skip
def test_end_mark_of_a_marked_text_is_left_out_where_most_answers_have_it(pattern):
    def read(answers):
        rows = [{"text": pattern.format(q=q, a=a)} for q, a in zip(QUESTIONS, answers, strict=True)]
        reading = Reading(format="guanaco" if "### Human:" in pattern else "marked")
        marks = reading.find_marks(rows)
        return [reading.read(row, marks).messages[-1]["content"] for row in rows]

    assert read(wrapped(ANSWERS, "{}</s>")) == ANSWERS
    assert read([*ANSWERS[:4], "It ends with </s>"]) == [*ANSWERS[:4], "It ends with </s>"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_public_shape_has_no_mark_that_is_named(shape):
    rows = list(shape.rows) * 4
    found = detect(rows)
    marks = found.reading.find_marks(rows)
    assert (marks.answers.named, marks.questions.named, marks.texts.named) == ((), (), ())


def test_parse_dataset_decides_by_the_first_rows(settings, tmp_path):
    answers = [f"{random.Random(i).choice(ANSWERS)} {i} END" for i in range(6)]
    dialogs = [dialog(f"{i}?\n\n###\n\n", answer) for i, answer in enumerate(answers)]
    data = open_dialogs(settings, tmp_path, [*dialogs, dialog("Which token?", "It ends with </s>")])
    about = parse_rows.parse_dataset(settings, data, data.detected)
    assert about.notes == {
        "the mark '###' at the end of a question is left out": 6,
        "'END' ends an answer, as in most rows; it is trained as text": 6,
        "an answer ends with '</s>', and most answers do not; it is trained as text": 1,
    }
    rows = Rows(settings, data.id)
    assert rows.row(0)["messages"] == dialog("0?", answers[0])
    assert rows.row(6)["messages"] == dialog("Which token?", "It ends with </s>")
