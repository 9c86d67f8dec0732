"""Tables of one column: whether they are plain text is asked, and they can be split without the file."""

import pytest

from core.data import delimiter, sources, subset
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.errors import StudioError


def opened(settings, tmp_path, text, name="rows.csv"):
    path = tmp_path / name
    path.write_text(text)
    return sources.open_file(settings, path)


def test_csv_of_one_column_of_text_is_asked_about_and_offers_plain_text(settings, tmp_path):
    data = opened(settings, tmp_path, "text\n" + "".join(f"A sentence of number {i} stands here\n" for i in range(9)))
    assert data.detected.format == "undecided"
    assert "one column, 'text': it may be plain text" in data.evidence
    assert [reading.format for reading in data.candidates] == ["text"]
    made = subset.create(settings, "plain", Recipe(dataset=data.id, reading=data.candidates[0], held_out_share=0))
    assert made.rows == 9


def test_text_file_and_marked_text_of_one_column_are_not_asked_about(settings, tmp_path):
    lines = "".join(f"A sentence of number {i} stands here\n" for i in range(9))
    assert opened(settings, tmp_path, lines, "rows.txt").detected.format == "text"
    marked = "text\n" + "".join(f'"### Human: q{i}\n### Assistant: a{i}"\n' for i in range(9))
    assert opened(settings, tmp_path, marked).detected.format == "guanaco"


@pytest.mark.parametrize("between", ["^", "::", "~"])
def test_column_is_split_at_the_guessed_characters(settings, tmp_path, between):
    rows = [("question", "answer"), *((f"what is {i}?", f"it is {i}, of course") for i in range(9))]
    data = opened(settings, tmp_path, "".join(f"{between.join(row)}\n" for row in rows).replace(",", " "))
    assert delimiter.guess_delimiter(delimiter.first_lines(settings, data)) == between
    made = delimiter.split(settings, data, between)
    assert [column.name for column in made.columns] == ["question", "answer"]
    assert made.detected.format == "prompt_completion"
    assert Rows(settings, made.id).row(3)["messages"][0]["content"] == "what is 3?"
    assert made.id != data.id
    assert f"split at {between!r}" in made.complaints[0]


def test_split_reports_lines_of_another_width_and_refuses_what_is_no_delimiter(settings, tmp_path):
    data = opened(settings, tmp_path, "question^answer\na b c^d\ntoo^many^cells\n" + "a question^an answer\n" * 5)
    assert delimiter.split(settings, data, "^").unreadable == 1
    for characters, why in (("", "cannot be"), ("\n", "cannot be"), ("x" * 9, "cannot be"), ("%", "does not contain")):
        with pytest.raises(StudioError, match=why):
            delimiter.split(settings, data, characters)
    two = opened(settings, tmp_path, "question,answer\n" + "a,b\n" * 5)
    with pytest.raises(StudioError, match="has 2 columns"):
        delimiter.split(settings, two, "^")


def test_lines_without_a_guess_have_none():
    assert delimiter.guess_delimiter(["one", "two"]) == delimiter.guess_delimiter([]) == ""
