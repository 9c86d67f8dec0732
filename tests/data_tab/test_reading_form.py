"""studio/data/reading_form.py: the question about a format that is not sure, and the columns that nothing reads."""

import html

import pytest
from opened import opened, talk
from public_shapes import SHAPES

from core.errors import StudioError
from studio.data.lens import Lens
from studio.data.opening import Opening
from studio.data.reading_form import WIDGETS


@pytest.fixture
def do(settings, jobs):
    return Opening(settings, jobs)


def shape(name: str) -> list[dict]:
    return next(shape.rows for shape in SHAPES if shape.name == name)


def look_at(settings, folder, rows: list[dict]) -> dict:
    return Lens(dataset=opened(settings, folder, rows).id).model_dump()


def fields(do: Opening, state: dict) -> dict:
    return dict(zip(WIDGETS, do.reading_fields(state), strict=True))


def read_again(do: Opening, state: dict, **values) -> dict:
    *_, last = do.read_again(state, **values)
    return last[-1]


def test_undecided_data_set_asks_and_reads_what_is_chosen(do, settings, tmp_path):
    state = look_at(settings, tmp_path, shape("nyu-mll/glue, mnli"))
    summary = html.unescape(do.summary(state))
    assert "How are the rows read?" in summary
    assert "<b>0</b> usable" in summary
    assert do.shows_form(state)["open"]
    shown = fields(do, state)
    label, likely = shown["likely"]["choices"][0]
    assert label == "text with a label: text = premise, label = label"
    assert (shown["likely"]["value"], shown["format"]) == (likely, "label")
    assert shown["context_columns"]["choices"] == ["premise", "hypothesis", "label", "idx"]
    form = {"format": "label", "columns": shown["columns"]["value"], "context_columns": ["hypothesis"]}
    after = read_again(do, state, **form)
    assert "<b>9</b> usable" in do.summary(after)
    assert "open" not in do.shows_form(after)
    messages = Lens.model_validate(after).rows(settings).row(0)["messages"]
    assert messages[0]["content"].endswith(shape("nyu-mll/glue, mnli")[0]["hypothesis"])


def test_likely_reading_fills_the_fields_in(do, settings, tmp_path):
    state = look_at(settings, tmp_path, shape("nyu-mll/glue, mnli"))
    choices = fields(do, state)["likely"]["choices"]
    likely = next(text for label, text in choices if label == "plain text: text = hypothesis")
    form, columns, prompt, _ = do.fill_in(state, likely)
    assert (form, columns["value"], prompt["visible"]) == ("text", "text = hypothesis", False)
    with pytest.raises(StudioError, match="No format is chosen"):
        read_again(do, state, format=None)


def test_unread_columns_are_named_and_can_be_put_to_use(do, settings, tmp_path):
    state = look_at(settings, tmp_path, shape("databricks-dolly-15k"))
    assert "not used: category (6 rows)" in html.unescape(do.summary(state))
    shown = fields(do, state)
    assert shown["system_columns"]["choices"] == ["category"]
    assert shown["columns"]["value"] == "input = context\noutput = response"
    again = {"format": "alpaca", "columns": shown["columns"]["value"]}
    as_system = read_again(do, state, **again, system_columns=["category"])
    assert Lens.model_validate(as_system).rows(settings).row(0)["messages"][0] == {
        "role": "system", "content": "closed_qa"
    }  # fmt: skip
    assert fields(do, as_system)["system_columns"]["value"] == ["category"]
    ignored = read_again(do, state, **again, ignored_columns=["category"])
    assert "not used" not in do.summary(ignored)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"context_columns": ["nope"]}, "There is no column 'nope'"),
        ({"columns": "prompt = context"}, "The format Alpaca has no part 'prompt'"),
        ({"columns": "input = context", "system_columns": ["context"]}, "The column 'context' is used twice"),
    ],
)
def test_mapping_that_would_do_nothing_is_refused_by_name(do, settings, tmp_path, values, why):
    state = look_at(settings, tmp_path, shape("databricks-dolly-15k"))
    with pytest.raises(StudioError, match=why):
        read_again(do, state, format="alpaca", **values)


def test_notes_and_the_runner_up_are_shown(do, settings, tmp_path):
    state = look_at(settings, tmp_path, shape("Intel/orca_dpo_pairs"))
    summary = html.unescape(do.summary(state))
    assert "<b>6</b> rows: the rejected answer is not trained" in summary
    assert "<b>next likely</b>" in summary


def test_many_unread_columns_are_counted(do, settings, tmp_path):
    rows = [{"messages": talk("a", f"b{i}")} | {f"extra {n}": "x" for n in range(40)} for i in range(3)]
    summary = html.unescape(do.summary(look_at(settings, tmp_path, rows)))
    assert "<b>40 columns</b> not used: extra 0 (3 rows)" in summary
    assert "and 28 more" in summary
