"""Near duplicates among rows, found by shingles."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import near_duplicates
from core.data.rows import Rows
from tests.helpers.datasets import dialog, open_dialogs

WORDS = [f"word{i}" for i in range(400)]


def prose(seed: int, words: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def find_near_duplicates(settings, tmp_path, conversations) -> dict[int, int]:
    data = open_dialogs(settings, tmp_path, conversations)
    path = near_duplicates.find(settings, data, data.detected)
    pairs = Rows(settings, data.id, near=path).query(
        "row, near_duplicate_of", {"near"}, after="WHERE near_duplicate_of IS NOT NULL"
    )
    return dict(pairs.fetchall())


def test_near_duplicates_of_mostly_equal_rows_are_found(settings, tmp_path):
    conversations = []
    for seed in range(40):
        words = prose(seed).split()
        touched = words.copy()
        # 3 of 119 runs differ, which is a similarity of 0.95.
        touched[60] = "other"
        half = words[:60] + prose(seed + 1000, 60).split()
        conversations += [
            dialog("?", " ".join(words)),
            dialog("?", " ".join(touched).upper()),
            dialog("?", " ".join(half)),
        ]
    found = find_near_duplicates(settings, tmp_path, conversations)
    assert sum(found.get(3 * i + 1) == 3 * i for i in range(40)) >= 38
    assert not any(3 * i + 2 in found for i in range(40))


def test_near_duplicates_name_an_earlier_row_and_skip_unusable_rows(settings, tmp_path):
    text = prose(1)
    found = find_near_duplicates(
        settings, tmp_path, [dialog(text, " "), dialog(text, text), dialog(text, text), dialog(text, text + " end")]
    )
    assert found == {2: 1, 3: 1}


def test_shingles_of_scripts_without_spaces_are_characters():
    assert near_duplicates.shingles(
        "今日は良い天気ですね、散歩に行きましょう。明日も晴れるでしょう"
    ) != near_duplicates.shingles("今日は")
    assert len(near_duplicates.shingles("今日は良い天気ですね、散歩に行きましょう。明日も晴れるでしょう")) > 20
    assert near_duplicates.shingles("A b, C d") == ["a b c", "b c d"]


@given(st.text())
def test_shingles_of_any_text_ignore_case(text):
    runs = near_duplicates.shingles(text)
    assert runs
    if text.isascii():
        assert near_duplicates.shingles(text.upper()) == runs


def test_near_duplicates_are_computed_once(settings, tmp_path, monkeypatch):
    data = open_dialogs(settings, tmp_path, [dialog("a", "b")])
    path = near_duplicates.find(settings, data, data.detected)
    monkeypatch.setattr(near_duplicates, "map_row_groups", None)
    assert (
        near_duplicates.find(settings, data, data.detected)
        == path
        == near_duplicates.path_of(settings, data, data.detected)
    )


def test_near_duplicates_of_real_dataset_are_few(settings, shared_data):
    from core.data import sources

    data = sources.open_file(settings, shared_data / "openassistant_best_replies_eval.jsonl")
    path = near_duplicates.find(settings, data, data.detected)
    rows = Rows(settings, data.id, near=path)
    (count,) = rows.query("count(near_duplicate_of)", {"near"}).fetchone()
    assert count == pytest.approx(0, abs=26)
