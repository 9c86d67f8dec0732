"""The reading form: the question, candidates, unread columns and templates."""

import html
import re

import gradio as gr
import pytest

from core.data.formats import FORMATS
from core.errors import StudioError
from studio.data.page_state import PageState
from studio.data.reading_form import MAX_LISTED_COLUMNS, ReadingForm
from studio.data.reading_widgets import FIELDS, build_reading_form
from studio.data.row_view import row_html
from studio.data.summary import summary_html
from tests.helpers.datasets import dialog, open_dataset
from tests.helpers.hostile_text import COLUMN, markdown_html
from tests.helpers.public_shapes import SHAPES

FORM = dict.fromkeys(FIELDS, "") | {"reasoning": "think"}
DOLLY = [
    {"instruction": f"ask {i}", "context": f"Some text {i}.", "response": f"say {i}", "category": "ab"[i % 2]}
    for i in range(40)
]


@pytest.fixture
def do(settings, jobs):
    return ReadingForm(settings, jobs)


@pytest.fixture
def page_of(settings, tmp_path):
    """Open rows and return the state of a page that looks at them."""

    def run(rows):
        return PageState(dataset=open_dataset(settings, tmp_path, rows).id).model_dump()

    return run


@pytest.fixture
def undecided(page_of):
    return page_of(next(shape.rows for shape in SHAPES if shape.name == "nyu-mll/glue, mnli"))


def values_of(updates: dict) -> dict:
    """Return the values that updates of the form set."""
    return {name: update["value"] if isinstance(update, dict) else update for name, update in updates.items()}


def read(do, state, **values):
    """Apply the form and return the page's new state."""
    *_, last = do.read_again(state, **FORM | values)
    return last["state"]


def column_list(do, state) -> str:
    return do.column_list(state)["column_uses"]


def text(shown: str) -> str:
    return html.unescape(shown).replace("<b>", "").replace("</b>", "")


def test_summary_shows_counts_evidence_and_problems(settings, state):
    shown = text(summary_html(settings, state))
    for words in ("60 rows", "59 usable", "exact duplicate", "cannot be used: no answer (row 7)"):
        assert words in shown
    assert "No dataset is open" in summary_html(settings, PageState().model_dump())


def test_form_names_the_format_its_evidence_and_the_runner_up(do, settings, page_of):
    rows = [
        {"prompt": f"Question {i}?", "chosen": f"Good one, and long {i}.", "rejected": f"Bad one, and long {i}."}
        for i in range(5)
    ]
    state = page_of(rows)
    shown = text(summary_html(settings, state))
    assert "5 rows: the rejected answer is not trained" in shown
    asked = do.question(state)
    assert asked["form_box"]["label"].startswith("Read as preference pairs: ")
    assert '<div class="qs-second">It could also be plain text: ' in text(asked["runner_up"])
    assert "rejected" not in text(asked["runner_up"])


def test_undecided_dataset_asks_a_question_and_counts_nothing_as_usable(do, settings, undecided):
    shown = do.question(undecided)
    assert shown["runner_up"] == ""
    assert shown["question"]["visible"]
    assert shown["form_box"]["open"]
    assert "'premise' and 'hypothesis' may both belong to the question" in html.unescape(shown["question_text"])
    assert shown["choices"]["choices"][0] == (
        "text with a label (text = premise, label = label; context: hypothesis): all of the first 9 rows usable",
        "0",
    )
    assert "9 rows" in text(summary_html(settings, undecided))
    assert "0 usable" in text(summary_html(settings, undecided))
    assert column_list(do, undecided) == ""
    assert do.fields(undecided)["format"] is None


def test_candidate_fills_the_form_in_and_one_more_click_reads_the_rows(do, settings, undecided):
    filled = values_of(do.fill_in(undecided, "0"))
    assert (filled["format"], filled["columns"]) == ("label", "text = premise\nlabel = label")
    state = read(do, undecided, **filled)
    assert "9 usable" in text(summary_html(settings, state))
    shown = do.question(state)
    assert (
        shown["form_box"]["label"] == "Read as text with a label, kept with the dataset: premise → text, label · change"
    )
    assert (shown["question"]["visible"], shown["choices"]["choices"], "open" in shown["form_box"]) == (
        False,
        [],
        False,
    )
    for choice in ("99", "-1", None, "x"):
        with pytest.raises(StudioError, match="There is no choice"):
            do.fill_in(undecided, choice)


def test_reading_without_a_format_is_refused(do, undecided):
    with pytest.raises(StudioError, match="No format is chosen"):
        list(do.read_again(undecided, **FORM | {"format": None}))


def test_unread_column_used_as_context_is_in_the_conversation(do, settings, page_of):
    state = page_of(DOLLY)
    shown = column_list(do, state)
    assert "1 column not used" in shown
    assert 'data-name="category" data-value=""' in shown
    assert "40 rows" in shown
    filled = values_of(do.fields(state))
    extra = do.use_columns(filled["extra"], {"category": "context"})["extra"]
    state = read(do, state, **filled | {"extra": extra})
    assert PageState.model_validate(state).open_rows(settings).row(1)["messages"] == dialog(
        "ask 1\n\nSome text 1.\n\nb", "say 1"
    )
    assert "not used</b>" not in column_list(do, state)
    assert 'data-name="category" data-value="context"' in column_list(do, state)
    assert do.use_columns(extra, {"category": ""}) == {"extra": ""}, "a choice can be taken back"


@pytest.mark.parametrize(
    ("use", "messages", "notes"),
    [
        ("system", [{"role": "system", "content": "a"}, *dialog("ask 0\n\nSome text 0.", "say 0")], []),
        ("ignore", dialog("ask 0\n\nSome text 0.", "say 0"), []),
        ("", dialog("ask 0\n\nSome text 0.", "say 0"), ["the column 'category' is not used"]),
    ],
)
def test_use_of_a_column_decides_conversation_and_notes(do, settings, page_of, use, messages, notes):
    state = page_of(DOLLY)
    filled = values_of(do.fields(state))
    state = read(do, state, **filled | do.use_columns("", {"category": use}))
    row = PageState.model_validate(state).open_rows(settings).row(0)
    assert (row["messages"], row["notes"]) == (messages, notes)
    shown = html.unescape(row_html(settings, state, 0, "Conversation"))
    assert ("the column 'category' is not used" in shown) == bool(notes)


def test_columns_of_text_come_first_and_the_list_stays_short(do, page_of):
    more = {f"text {k}": "prose of several words {}" for k in range(25)}
    rows = [
        {"id": f"{i:032x}", "n": i * 7, "deep": [{"x": i}], "prompt": f"ask {i}", "completion": f"say {i}"}
        | {name: prose.format(i) for name, prose in more.items()}
        for i in range(6)
    ]
    shown = column_list(do, page_of(rows))
    assert shown.count("<select") == MAX_LISTED_COLUMNS
    assert 'data-name="id"' not in shown
    assert "28 columns not used" in shown
    assert "8 more columns are not shown" in shown
    few = column_list(do, page_of([{k: v for k, v in row.items() if not k.startswith("text")} for row in rows]))
    assert few.index('data-name="id"') < few.index('data-name="n"') < few.index('data-name="deep"')
    assert "list or object" in few
    assert "warn" not in few, "ids, numbers and lists do not stand out"


def test_read_again_reads_the_rows_by_the_form(do, settings, state):
    form = {"format": "label", "columns": "text = kind\nlabel = score", "prompt": "{text}?", "labels": "1 = one"}
    after = read(do, state, **form)
    assert PageState.model_validate(after).open_rows(settings).row(1)["messages"] == dialog("b?", "one")
    fields = do.fields(after)
    assert (fields["format"], fields["columns"]["value"]) == ("label", form["columns"])
    assert fields["prompt"]["visible"]
    assert "Parts: text, label. Columns: messages, score, kind." in fields["columns"]["info"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"columns": "text = nope"}, "no column 'nope'. The columns are: kind, messages, score"),
        ({"columns": "nope = kind"}, "has no part 'nope'. Its parts are: text, label"),
        ({"extra": "nope = context"}, "no column 'nope'"),
        ({"columns": "text = kind", "extra": "kind = ignore"}, "'kind' is used twice"),
        ({"columns": "text = kind\nlabel = kind"}, "'kind' is used twice"),
        ({"format": "messages", "labels": "1 = good"}, "“Label names” applies only to text with a label"),
        ({"format": "messages", "prompt": "{text}!"}, "“Prompt for a label” applies only to text with a label"),
        ({"format": "undecided"}, "No format is chosen"),
    ],
)
def test_reading_that_names_what_is_not_there_is_refused(do, state, values, why):
    with pytest.raises(StudioError, match=why):
        list(do.read_again(state, **FORM | {"format": "label"} | values))


def test_help_of_columns_shows_a_hostile_name_as_text(do, settings, tmp_path):
    data = open_dataset(settings, tmp_path, [{"instruction": "a", "output": "b", COLUMN: "c"}])
    state = PageState(dataset=data.id).model_dump()
    for fields in (do.fields(state), do.show_format(state, "alpaca")):
        shown = markdown_html(fields["columns"]["info"])
        assert set(re.findall("<[a-z/]+", shown)) == {"<p", "</p"}
        assert "[a](http://evil.example)" in shown


def test_format_without_labels_empties_what_it_does_not_read(do, state):
    shown = do.show_format(state, "label")
    assert (shown["prompt"], shown["labels"]) == (gr.update(visible=True), gr.update(value="", visible=True))
    shown = do.show_format(state, "alpaca")
    assert "Parts: instruction, input, output" in shown["columns"]["info"]
    assert shown["columns"]["value"] == "", "those of the format before are no parts of this one"
    assert (shown["prompt"]["visible"], shown["labels"]["value"]) == (False, "")
    assert shown["roles"] == gr.update(value="", visible=False)
    assert do.show_format(state, "sharegpt")["roles"] == gr.update(visible=True)
    read(do, state, format="messages", prompt=shown["prompt"]["value"], labels=shown["labels"]["value"])


def test_options_that_occur_in_no_row_are_reported(do, settings, page_of):
    state = page_of([{"messages": dialog("Hello {{name}}", "b")}])
    after = read(do, state, format="messages", roles="hero = user", placeholders="name = Ada\ncity = Rome")
    shown = summary_html(settings, after)
    assert "occurs in no row: Roles: hero = user" in shown
    assert "occurs in no row: Placeholders: city = Rome" in shown
    assert "Placeholders: name" not in shown
    assert do.about(after)["report"]["unmatched"] == ["Roles: hero = user", "Placeholders: city = Rome"]


def test_unfilled_placeholders_are_offered_and_stay_when_nothing_is_filled_in(do, settings, page_of):
    state = page_of([{"messages": dialog("Hello {{name}}", "b")}])
    filled = values_of(do.fields(state))
    assert filled["placeholders"] == "name = "
    assert "{{name}}" in summary_html(settings, state)
    after = PageState.model_validate(read(do, state, **filled))
    assert after.open_rows(settings).row(0)["messages"][0]["content"] == "Hello {{name}}"


def test_answer_without_loss_carries_a_badge(settings, page_of):
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "bad", "weight": 0},
        *dialog("r", "good"),
    ]
    shown = row_html(settings, page_of([{"messages": turns}]), 0, "Conversation")
    assert shown.count("not trained on") == 1


def test_about_returns_question_candidates_and_unread_columns(do, undecided, page_of):
    about = do.about(undecided)["report"]
    assert (about["undecided"], about["usable"]) == (True, 0)
    assert about["candidates"][0]["reading"]["columns"] == {"text": "premise", "label": "label"}
    about = do.about(page_of(DOLLY))["report"]
    assert about["columns"] == [{"name": "category", "kind": "category", "rows": 40, "use": None}]
    with pytest.raises(StudioError, match="No dataset is chosen"):
        do.about(PageState().model_dump())


@pytest.mark.parametrize("changes", ["x", ["x"], None])
def test_use_columns_refuses_what_is_no_object(do, changes):
    with pytest.raises(StudioError, match="Expected an object"):
        do.use_columns("", changes)


def test_form_offers_every_format_but_the_undecided_one():
    with gr.Blocks():
        widgets = build_reading_form()
    offered = [value for _, value in widgets.fields["format"].choices]
    assert offered == [form.name for form in FORMATS if form.name != "undecided"]
    assert tuple(widgets.fields) == FIELDS
