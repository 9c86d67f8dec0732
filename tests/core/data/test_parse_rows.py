"""All rows of a dataset parsed: reasons, duplicates, language and search text."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import parse_rows, sources
from core.data.formats import Reading
from core.data.rows import Rows
from core.errors import StudioError
from tests.helpers.datasets import dialog, open_dataset, open_dialogs


def test_parse_dataset_counts_unusable_rows_by_reason(settings, tmp_path):
    bad = [[{"role": "user", "content": "?"}], [{"role": "alien", "content": "x"}], dialog("a", " ")]
    data = open_dialogs(settings, tmp_path, [dialog("a", "b"), *bad, dialog("c", "d", "e")])
    about = parse_rows.parse_dataset(settings, data, data.detected)
    assert (about.usable, about.ends_on_user) == (2, 1)
    assert about.problems == {"no answer": 2, "unknown role 'alien'; name it under Roles": 1}
    assert about.examples == {"no answer": [1, 3], "unknown role 'alien'; name it under Roles": [2]}
    assert [row for row, _, _ in Rows(settings, data.id).usable_rows()] == [0, 4]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_parse_dataset_half_a_character_is_noted(settings, tmp_path, name):
    rows = [f'{{"prompt": "Why {number}?", "completion": "So\\ud83d."}}' for number in range(3)]
    text = "\n".join(rows) if name.endswith("l") else f"[{', '.join(rows)}]"
    (tmp_path / name).write_text(text)
    data = sources.open_file(settings, tmp_path / name)
    about = parse_rows.parse_dataset(settings, data, data.detected)
    assert about.notes == {"half of an emoji or of another character (a lone surrogate) is replaced by \ufffd": 3}
    assert Rows(settings, data.id).row(0)["messages"][1]["content"] == "So\ufffd."


def test_parse_dataset_duplicates_name_the_first_row(settings, tmp_path):
    data = open_dialogs(
        settings, tmp_path, [dialog("a", "b"), dialog("c", "d"), dialog("a", "b"), dialog("a", "B"), dialog("a", "b")]
    )
    assert parse_rows.parse_dataset(settings, data, data.detected).duplicates == 2
    found = Rows(settings, data.id).query("row, duplicate_of", {"duplicates"}, after="ORDER BY row").fetchall()
    assert found == [(0, None), (1, None), (2, 0), (3, None), (4, 0)]


def test_parse_dataset_names_the_language_only_if_certain(settings, tmp_path):
    conversations = [
        dialog("What is the capital of France?", "The capital of France is the city of Paris."),
        dialog("¿Cuál es la capital de Francia?", "La capital de Francia es la ciudad de París."),
        dialog("Какая столица у Франции?", "Столица Франции это город Париж."),
        dialog("42", "43"),
    ]
    data = open_dialogs(settings, tmp_path, conversations)
    found = [lang for (lang,) in Rows(settings, data.id).query("language", set(), after="ORDER BY row").fetchall()]
    assert found[:3] == ["en", "es", "ru"]


def test_parse_dataset_stores_each_reading_once(settings, tmp_path):
    data = open_dataset(settings, tmp_path, [{"text": "### Human: a {{name}}### Assistant: b"}])
    plain = Reading(format="text")
    filled = Reading(format="guanaco", placeholders={"name": "Ada"})
    assert parse_rows.parse_dataset(settings, data, data.detected).placeholders == {"name": 1}
    assert parse_rows.parse_dataset(settings, data, filled).placeholders == {}
    assert parse_rows.parse_dataset(settings, data, plain).usable == 1
    assert len(list((settings.datasets_dir / data.id / "readings").iterdir())) == 3
    assert Rows(settings, data.id, filled).row(0)["messages"] == dialog("a Ada", "b")
    assert Rows(settings, data.id, plain).row(0)["messages"][0]["role"] == "text"


@pytest.mark.parametrize("needle", ["42", "the", "ЁЛКА", "straße", "日本", "é", "café", "nested turn"])
def test_search_text_contains_turns_and_cells_in_folded_form(settings, tmp_path, needle):
    messages = dialog("number 42 and THE ёлка", "STRASSE 日本語 cafe\u0301", "a nested turn", "x")
    data = open_dialogs(settings, tmp_path, [messages])
    [(text,)] = Rows(settings, data.id).query("search", set()).fetchall()
    assert parse_rows.fold_text(needle) in text


@given(st.text(), st.text())
def test_fold_text_is_idempotent_and_ignores_case(one, other):
    assert parse_rows.fold_text(one.upper().lower()) == parse_rows.fold_text(parse_rows.fold_text(one.upper().lower()))
    if one in other:
        assert parse_rows.fold_text(one) in parse_rows.fold_text(other) or not one.isascii()


def test_hash_text_is_64_bits_of_blake2b():
    expected = int.from_bytes(hashlib.blake2b(b"tide", digest_size=8).digest(), "big", signed=True)
    assert parse_rows.hash_text("tide") == expected
    assert -(2**63) <= parse_rows.hash_text("\ud800") < 2**63


@pytest.mark.parametrize(
    ("columns", "extra"),
    [
        ({"prompt": "translation.en", "completion": "translation.fr"}, {}),
        ({"prompt": "translation.en", "completion": "translation.de"}, {"translation.fr": "ignore"}),
    ],
    ids=["a part", "another column"],
)
def test_parse_dataset_unknown_field_is_refused_by_name(settings, tmp_path, columns, extra):
    rows = [{"translation": {"en": f"Number {i} it is.", "de": f"Es ist Nummer {i}."}} for i in range(3)]
    data = open_dataset(settings, tmp_path, rows)
    reading = Reading(format="prompt_completion", columns=columns, extra=extra)
    with pytest.raises(StudioError, match=r"no field 'translation\.fr'.*translation\.de, translation\.en"):
        parse_rows.parse_dataset(settings, data, reading)


@pytest.mark.parametrize(
    ("name", "value"), [("is_deleted", True), ("deleted_at", "2025-01-02"), ("status", "archived"), ("x", "discarded")]
)
def test_parse_dataset_rows_marked_after_the_first_are_counted(settings, tmp_path, name, value):
    rows = [{"prompt": f"What is {i}?", "completion": f"It is {i} indeed."} for i in range(205)]
    data = open_dataset(settings, tmp_path, [*rows[:203], *(row | {name: value} for row in rows[203:])])
    found = parse_rows.parse_dataset(settings, data, data.detected)
    assert found.usable == 205
    assert [count for note, count in found.notes.items() if repr(name) in note and "does not count" in note] == [2]
