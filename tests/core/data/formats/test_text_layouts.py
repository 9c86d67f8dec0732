"""Lines of other tools that look like plain text are asked about; texts are plain text."""

import pytest

from core.data.formats.detect import detect

TEXTS = ["Why is the sea so salty?", "Rivers carry salt into it.", "Gulls follow every ship.", "The keeper trims it."]
TAGGED = "-DOCSTART- -X- O", "\n".join(f"{word} NN B-LOC" for word in TEXTS[0].split())
LAYOUTS = {
    "GIFT": ([f"::Q{i}:: {text} {{\n=Salt.\n~Sugar.\n}}" for i, text in enumerate(TEXTS)], "quiz of Moodle"),
    "GIFT without titles": ([f"{text} {{TRUE}}" for text in TEXTS], "quiz of Moodle"),
    "Aiken": ([f"{text}\nA. Salt\nB. Sugar\nANSWER: A" for text in TEXTS], "quiz of Moodle"),
    "tokens of turns": ([f"{text} [SEP] So. [SEP]" for text in TEXTS], "'[SEP]' may divide"),
    "fastText": ([f"__label__sea {text}" for text in TEXTS], "fastText"),
    "labels of fastText": ([f"__label__sea __label__salt {text}" for text in TEXTS], "fastText"),
    "CoNLL": (["\n".join(f"{word} NN O" for word in text.split()) + "\n. . O" for text in TEXTS], "CoNLL"),
    "CoNLL with its first line": ([*TAGGED, TAGGED[1], TAGGED[1]], "CoNLL"),
    "CoNLL between tabs": (["\n".join(f"{word}\tO" for word in text.split()) for text in TEXTS], "CoNLL"),
    "LIBSVM": ([f"{i % 2} 1:0.5 7:{i} 12:1e-3 and" [:-4] for i in range(4)], "LIBSVM"),
    "bars of Moses": ([f"{text} ||| Warum?" for text in TEXTS], "2 cells between ' ||| '"),
    "tabs": ([f"{text}\tDarum." for text in TEXTS], "2 cells between tabs"),
    "arrows": ([f"{text} -> Darum." for text in TEXTS], "2 cells between ' -> '"),
    "plus signs of Cornell": ([f"L1 +++$+++ u2 +++$+++ {text}" for text in TEXTS], "3 cells between ' +++$+++ '"),
    "WhatsApp": ([f"12/01/2024, 10:0{i} - Ann: {text}" for i, text in enumerate(TEXTS)], "messages of a chat"),
    "WhatsApp of a phone": ([f"\u200e[12.01.24, 10:0{i}:17] Ann B.: {text}" for i, text in enumerate(TEXTS)],
                            "messages of a chat"),
    "Signal": ([f"[2024-01-12 10:0{i} AM] Ann: {text}" for i, text in enumerate(TEXTS)], "messages of a chat"),
    "IRC": ([f"10:0{i} <ann> {text}" for i, text in enumerate(TEXTS)], "messages of a chat"),
    "a chat per row": (["\n".join(f"[10:0{i}] Ann: {text}" for text in TEXTS) for i in range(4)], "messages of a chat"),
    "a transcript": ([f"Speaker {i}  0:0{i}\n{text}" for i, text in enumerate(TEXTS)], "messages of a chat"),
    "a transcript of a meeting": ([f"Ann Lee (00:0{i}:00)\n{text}" for i, text in enumerate(TEXTS)],
                                  "messages of a chat"),
    "three cells": ([f"{text}\tDarum.\tx" for text in TEXTS], "3 cells between tabs"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_detect_lines_of_another_tool_are_asked_about(name):
    texts, doubt = LAYOUTS[name]
    found = detect([{"text": text} for text in texts])
    assert found.reading.format == "undecided", found.evidence
    assert doubt in found.evidence
    assert [reading.format for reading in found.candidates] == ["text"]


PLAIN = {
    "a paragraph that is indented": ["\t" + text for text in TEXTS],
    "a tab in some": [*TEXTS[:3], "one\ttwo"],
    "tables in texts": [f"{text}\n\na\tb\n1\t2" for text in TEXTS],
    "capitals": [f"{text}\nA O\nB O" for text in TEXTS],
    "dashes": [f"{text} -- So it is." for text in TEXTS],
    "times": [f"At 10:0{i} it was written: {text}" for i, text in enumerate(TEXTS)],
    "a diary": [f"12/01/2024 {text}" for text in TEXTS],
    "bars in some": [*TEXTS[:3], "a ||| b"],
    "a label in one": [*TEXTS[:3], "__label__ is a mark of fastText."],
    "code": ["a = b || c\nd = e" for _ in TEXTS],
}


@pytest.mark.parametrize("name", PLAIN)
def test_detect_other_texts_are_plain(name):
    rows = [{"text": f"{text} {i}"} for i, text in enumerate(PLAIN[name])]
    assert detect(rows).reading.format == "text"


@pytest.mark.parametrize("label", [lambda i: "0", lambda i: "04"[i % 2]])
def test_detect_table_without_names_asks_and_offers_its_numbers_as_labels(label):
    # Sentiment140, whose file is sorted by its label.
    rows = [
        {"column_1": label(i), "column_2": str(1467810369 + i), "column_3": "NO_QUERY", "column_4": f"user{i}",
         "column_5": f"I am so happy about the number {i} of tonight."}
        for i in range(60)
    ]  # fmt: skip
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert found.candidates[0].columns == {"text": "column_5", "label": "column_1"}
    assert "have no names" in detect([{name: row[name] for name in ("column_2", "column_5")} for row in rows]).evidence
