"""JSON files: lines, lists and objects in any layout, and their damage by line."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.readers import json_rows, read_rows
from core.errors import StudioError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), min_size=1, max_size=8)


def read(folder, text: str | bytes, name: str = "rows.jsonl") -> list:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return list(read_rows(path, name))


@given(rows=OBJECTS, ascii=st.booleans())
def test_read_lines_returns_objects(tmp_path_factory, rows, ascii):
    text = "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows)
    found = read(tmp_path_factory.mktemp("j"), text.replace("\n", "\r\n"), "rows.jsonl")
    assert [r.row for r in found] == rows


@given(rows=OBJECTS, indent=st.none() | st.integers(0, 3), chunk=st.integers(1, 40))
def test_read_document_returns_objects_with_any_chunk_size(tmp_path_factory, rows, indent, chunk):
    """Read `chunk` characters at a time, so that every position is the end of the buffer once."""
    path = tmp_path_factory.mktemp("j") / "rows.json"
    path.write_text(json.dumps(rows, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_CHUNK", chunk)
        assert [r.row for r in read_rows(path, path.name)] == rows


def test_read_lines_reports_lines_that_are_not_objects(tmp_path):
    text = '{"a": 1}\n\n{"a": \n[1]\n"x"\n{"a": 2, "a": 3}\n' + "[" * 100_000 + "\n" + '{"n": ' + "1" * 5000 + "}\n"
    found = [(r.line, r.row, r.trouble) for r in read(tmp_path, text, "rows.jsonl")]
    assert found == [
        (1, {"a": 1}, ""),
        (3, None, "is not JSON (Expecting value)"),
        (4, None, "is not an object with named fields"),
        (5, None, "is not an object with named fields"),
        (6, {"a": 3}, "names the field 'a' twice; the last one counts"),
        (7, None, "is nested too deeply"),
        (8, None, "holds a number of too many digits"),
    ]


def test_read_lines_reports_invalid_bytes_by_line(tmp_path):
    found = read(tmp_path, b'{"a": "caf\xe9"}\n{"a": "caf\xc3\xa9"}\n', "rows.jsonl")
    assert [(r.line, r.row, r.trouble) for r in found] == [
        (1, None, "is not UTF-8 text (byte 0xe9)"),
        (2, {"a": "café"}, ""),
    ]


def test_read_document_skips_only_the_broken_element(tmp_path):
    text = '[\n  {"a": 1},\n  {"a": oops},\n  {"a": 3},\n  {"n": ' + "9" * 5000 + '},\n  {"a": 5}\n]'
    found = [(r.line, r.row, r.trouble) for r in read(tmp_path, text, "rows.json")]
    assert found == [
        (2, {"a": 1}, ""),
        (3, None, "is not JSON (Expecting value)"),
        (4, {"a": 3}, ""),
        (5, None, "holds a number of too many digits"),
        (6, {"a": 5}, ""),
    ]


def test_read_document_reports_unclosed_list(tmp_path):
    found = read(tmp_path, '[{"a": 1}, {"a": 2}', "rows.json")
    assert [r.row for r in found] == [{"a": 1}, {"a": 2}, None]
    assert "ends early" in found[-1].trouble


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"data": [{"a": 1}, {"a": 2}], "version": 3}', [{"a": 1}, {"a": 2}]),
        ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('{"messages": [{"role": "user", "content": "x"}]}', [{"messages": [{"role": "user", "content": "x"}]}]),
    ],
)
def test_read_object_is_row_lines_or_container(tmp_path, text, rows):
    assert [r.row for r in read(tmp_path, text, "rows.json")] == rows


def test_read_document_accepts_row_of_10_mb(tmp_path):
    rows = [{"a": "x" * 10_000_000}, {"a": "y"}]
    assert [r.row for r in read(tmp_path, json.dumps(rows), "rows.json")] == rows
    assert [r.row for r in read(tmp_path, "\n".join(map(json.dumps, rows)), "rows.jsonl")] == rows


def test_read_document_rejects_other_text(tmp_path):
    with pytest.raises(StudioError, match="is not JSON"):
        read(tmp_path, "a,b\n1,2\n", "rows.json")


ROWS = [{"prompt": "a", "completion": "c"}, {"prompt": "b", "completion": "d"}]
TABLE = pd.DataFrame(ROWS)


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=1),
        "\ufeff" + json.dumps(ROWS),
        "\n\n" + json.dumps(ROWS) + "\n\n",
        "\n".join(json.dumps(row) for row in ROWS),
        "\n".join("\ufeff" + json.dumps(row) for row in ROWS),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
    ],
)
def test_read_json_layout_does_not_depend_on_file_name(tmp_path, name, text):
    assert [r.row for r in read(tmp_path, text.encode(), name)] == ROWS


@pytest.mark.parametrize(
    "text",
    [
        *(TABLE.to_json(orient=orient) for orient in ("columns", "split", "records", "table", "index")),
        json.dumps({"prompt": ["a", "b"], "completion": ["c", "d"]}),
        json.dumps({"data": ROWS, "version": 2}),
        json.dumps({"data": {"rows": ROWS}}),
        json.dumps({"features": [{"name": "prompt"}], "rows": [{"row_idx": 0, "row": row} for row in ROWS]}),
        json.dumps({"test": ROWS}),
    ],
)  # fmt: skip
def test_read_object_with_table_returns_rows(tmp_path, text):
    found = read(tmp_path, text.encode(), "rows.json")
    assert [{k: v for k, v in r.row.items() if k != "index"} for r in found] == ROWS
    assert {r.split for r in found} == {None}


def test_read_object_with_splits_yields_training_rows_first(tmp_path):
    found = read(tmp_path, json.dumps({"test": ROWS[:1], "train": ROWS, "note": "x"}).encode(), "rows.json")
    assert [(r.split, r.row["prompt"]) for r in found] == [("train", "a"), ("train", "b"), ("test", "a")]


def test_read_object_notes_unread_fields(tmp_path):
    path, notes = tmp_path / "rows.json", []
    path.write_text(json.dumps({"version": 2, "data": ROWS}))
    assert len(list(read_rows(path, path.name, note=notes.append))) == 2
    assert notes == ["beside the rows the file contains 'version', which is not read"]


@pytest.mark.parametrize(
    "row", [{"messages": [{"role": "user", "content": "a"}]}, {"prompt": "a", "tags": ["x", "y"]}, {"a": {"b": 1}}]
)
def test_read_single_object_is_one_row(tmp_path, row):
    assert [r.row for r in read(tmp_path, json.dumps(row).encode(), "rows.json")] == [row]


def test_read_document_reports_trailing_text_and_too_many_fields(tmp_path):
    *_, last = read(tmp_path, b'[{"a": 1}]\n{"a": 2}', "rows.jsonl")
    assert "follows the end of the list" in last.trouble
    [only] = read(tmp_path, json.dumps({f"c{i}": i for i in range(10_001)}).encode() + b"\n")
    assert only.trouble == "has 10,001 fields; at most 10,000 are read"


def test_read_one_list_per_line_makes_each_line_a_row(tmp_path):
    lines = b'[{"role": "user", "content": "a"}]\n\n[["q", "a"], 1]\nbroken\n{"messages": []}\n'
    found = list(read(tmp_path, lines, "rows.jsonl"))
    assert [r.row and r.row["messages"] for r in found] == [
        [{"role": "user", "content": "a"}], [["q", "a"], 1], None, []
    ]  # fmt: skip


def test_read_lists_per_line_store_the_row_as_raw_text(tmp_path):
    for lines in (
        b'[{"role": "user", "content": "a"}]\n[{"role": "user", "content": "b"}]\n',
        b'["a", "b"]\n["x", 1]\n',
    ):
        assert all(json.loads(r.raw) == r.row for r in read(tmp_path, lines, "rows.jsonl"))


def test_read_lists_per_line_below_names_is_a_table(tmp_path):
    names, *cells = b'["question", "answer"]', b'["How?", "So."]', b'["Why?"]', b'["When?", null]'
    found = list(read(tmp_path, b"\n".join([names, *cells, names]), "rows.jsonl"))
    assert [(r.line, r.row) for r in found] == [
        (2, {"question": "How?", "answer": "So."}), (3, None), (4, {"question": "When?", "answer": None}), (5, None),
    ]  # fmt: skip
    assert found[1].trouble == "has 1 cell, the first list has 2 names"
    assert found[3].trouble == "repeats the names of the columns"


@pytest.mark.parametrize("first", ['["How?", "So."]', '["a", "a"]', "[]", '["1", "b"]', '["en", "b"]'])
def test_read_lists_per_line_without_names_is_refused(tmp_path, first):
    lines = f'{first}\n["en", "Because."]\n["en", "Now."]\n'
    with pytest.raises(StudioError, match="Write a list of their names into line 1"):
        list(read(tmp_path, lines.encode(), "rows.jsonl"))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
@pytest.mark.parametrize("depth", [101, 450, 900, 5000])
def test_read_row_nested_too_deeply_is_reported_and_others_are_kept(tmp_path, name, depth):
    deep = '{"a": ' + "[" * depth + "]" * depth + "}"
    text = f'[{{"a": 1}},\n{deep},\n{{"a": 2}}]' if name.endswith("json") else f'{{"a": 1}}\n{deep}\n{{"a": 2}}\n'
    found = list(read(tmp_path, text.encode(), name))
    assert [r.row for r in found] == [{"a": 1}, None, {"a": 2}]
    assert found[1].trouble == "is nested too deeply"
