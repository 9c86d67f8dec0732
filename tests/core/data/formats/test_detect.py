"""Detection of the format of a dataset, from each format's rows and from real files."""

import pytest

from core.data import formats, readers
from tests.helpers.one_conversation import ROWS, TURNS


@pytest.mark.parametrize("name", ROWS)
def test_detect_rows_with_turns_returns_their_format(name):
    found = formats.detect([ROWS[name], {"other": 1}])
    assert found.reading.format == name
    assert "in 1 of the first 2 rows" in found.evidence
    assert found.reading.parse(ROWS[name]) == TURNS


def test_detect_column_with_unusual_name_is_recognized():
    found = formats.detect([{"id": 1, "chat_log": TURNS}])
    assert found.reading.columns == {"messages": "chat_log"}
    assert "'chat_log'" in found.evidence
    assert found.reading.parse({"chat_log": TURNS}) == TURNS


def test_detect_mixed_rows_returns_format_of_most():
    assert formats.detect([ROWS["alpaca"], ROWS["guanaco"], ROWS["guanaco"], {"x": 1}]).reading.format == "guanaco"


def test_detect_text_with_label_returns_both_columns():
    rows = [{"text": f"A film about number {i}, and long.", "sentiment": ("good", "bad")[i % 2]} for i in range(50)]
    found = formats.detect(rows)
    assert found.reading.format == "label"
    assert found.reading.columns == {"text": "text", "label": "sentiment"}
    assert "2 different values in the column 'sentiment' (good, bad)" in found.evidence


def test_detect_prose_is_plain_text_and_numbers_are_none():
    found = formats.detect([{"id": i, "body": f"Prose number {i}, and more of it.", "tag": f"t{i}"} for i in range(30)])
    assert found.reading.read({"body": "Prose."}).messages == [{"role": "text", "content": "Prose."}]
    assert formats.detect([{"weight": 3}, {"weight": 4}]) is None


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("alpaca_identity_91.json", "alpaca"),
        ("sharegpt_tools_300.json", "sharegpt"),
        ("guanaco-llama2-1k-train.parquet", "llama2"),
        ("openassistant_best_replies_eval.jsonl", "guanaco"),
        ("sentiment_imdb_1000.tsv", "label"),
    ],
)
def test_detect_real_files_returns_their_format(shared_data, file, form):
    rows = [read.row for read in readers.read_rows(shared_data / file, file) if read.row][:200]
    assert formats.detect(rows).reading.format == form


def test_detect_second_choice_is_another_than_the_first():
    rows = [{"question": f"Why {name}?", "answer": f"So {name}."} for name in ("one", "two")]
    found = formats.detect(rows)
    assert found.is_sure
    assert found.evidence not in found.runner_up


def test_detect_few_values_beside_the_only_text_may_be_its_label():
    rows = [{"v1": ("ham", "spam")[i % 2], "v2": f"The ship number {i} has left the port.", "": ""} for i in range(12)]
    found = formats.detect(rows)
    assert found.reading.format == "undecided"
    assert "'v1' may be a label or a remark" in found.evidence
    assert [reading.format for reading in found.candidates] == ["label", "text"]
    assert formats.detect([{"text": row["v2"], "source": row["v1"]} for row in rows]).reading.format == "text"
