"""Lines that are nearly JSON: read where they are certainly an object, otherwise reported with the next step."""

import json

import pytest

from core.data.readers import read_rows
from core.errors import StudioError

ROWS = [
    {"question": 'Why isn\'t it "so"?', "answer": "It's, since\nwe say so.", "tags": ["a", None, True], "n": 1.5},
    {"question": "Who is there?", "answer": "No one.", "tags": [], "n": 2},
]


def read(folder, text, name):
    path, notes = folder / name, []
    path.write_text(text)
    return list(read_rows(path, name, note=notes.append)), notes


READ = {
    "a comma after each line": ("".join(json.dumps(row) + ",\n" for row in ROWS), "end in a comma"),
    "a comma between the lines": (",\n".join(map(json.dumps, ROWS)), "end in a comma"),
    "a comma and a space": ("".join(json.dumps(row) + " , \n" for row in ROWS), "end in a comma"),
    "Python dicts": ("".join(f"{row}\n" for row in ROWS), "Python writes a dict"),
    "Python dicts with commas": ("".join(f"{row},\n" for row in ROWS), "Python writes a dict"),
    "texts of JSON": ("".join(json.dumps(json.dumps(row)) + "\n" for row in ROWS), "written as texts of JSON"),
    "texts of JSON with commas": ("".join(json.dumps(json.dumps(row)) + ",\n" for row in ROWS), "texts of JSON"),
    "a list of texts of JSON": (json.dumps([json.dumps(row) for row in ROWS]), "written as texts of JSON"),
}


@pytest.mark.parametrize("ending", ["json", "jsonl", "txt"])
@pytest.mark.parametrize("name", READ)
def test_nearly_json_is_read_with_a_note(tmp_path, name, ending):
    text, noted = READ[name]
    found, notes = read(tmp_path, text, f"rows.{ending}")
    assert [row.row for row in found] == ROWS, [row.trouble for row in found]
    assert all(json.loads(row.raw) == row.row for row in found)
    assert sum(noted in note for note in notes) == 1


REPORTED = {
    "a line end in a text": ('{"a": "x\ny"}\n', r"as \n"),
    "two objects": ('{"a": 1} {"a": 2}\n', "a line of its own"),
    "a backslash": ('{"a": "C:\\data"}\n', "double each backslash"),
    "a comma before the end": ('{"a": 1,}\n', "comma before the closing bracket"),
    "curly quotes": ("{“a”: 1}\n", "curly quotes"),
    "a dict that holds no JSON": ("{'a': {1, 2}}\n", "json.dumps"),
    "a call": ("{'a': datetime(2024, 1, 1)}\n", "json.dumps"),
}


@pytest.mark.parametrize("name", REPORTED)
def test_other_lines_are_reported_with_the_next_step(tmp_path, name):
    text, step = REPORTED[name]
    found, _ = read(tmp_path, '{"a": 0}\n' + text + '{"a": 9}\n', "rows.jsonl")
    assert [row.row for row in (found[0], found[-1])] == [{"a": 0}, {"a": 9}]
    assert all(row.row is None for row in found[1:-1])
    assert step in found[1].trouble


@pytest.mark.parametrize("text", ['"Hello"\n', '"{not JSON}"\n', '"[1]"\n', "5\n"])
def test_texts_that_are_no_objects_stay_unreadable(tmp_path, text):
    found, notes = read(tmp_path, text + '{"a": 1}\n', "rows.jsonl")
    assert [row.row for row in found] == [None, {"a": 1}]
    assert not notes


@pytest.mark.parametrize("comment", ["// by our tool\n", "/* by our tool */\n", "# by our tool\n"])
def test_comments_in_json_are_named_with_the_next_step(tmp_path, comment):
    row = '{"prompt": "a", "completion": "b"}'
    path = tmp_path / "x.json"
    path.write_text(f"{comment}[{row}]", encoding="utf-8")
    with pytest.raises(StudioError, match=r"begins with a comment.*remove the comments"):
        list(read_rows(path, path.name))
    path.write_text(f"[{row},\n{comment}{row}]", encoding="utf-8")
    assert any("remove the comments" in read.trouble for read in read_rows(path, path.name))
