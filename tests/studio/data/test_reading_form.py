"""How the rows are read: the question, the form, the columns that nothing reads; without a browser."""

import html

import gradio as gr
import pytest

from core.data.formats import FORMATS
from core.errors import StudioError
from studio.data.browse import Browsing
from studio.data.page_state import Lens
from studio.data.reading_form import FIELDS, SHOWN_COLUMNS, ReadingForm, build_reading_form
from studio.data.summary import summary_html
from tests.helpers.datasets import opened, talk
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
        return Lens(dataset=opened(settings, tmp_path, rows).id).model_dump()

    return run


@pytest.fixture
def undecided(page_of):
    return page_of(next(shape.rows for shape in SHAPES if shape.name == "nyu-mll/glue, mnli"))


def value_of(update):
    return update["value"] if isinstance(update, dict) else update


def read(do, state, **values):
    *_, last = do.read_again(state, **FORM | values)
    return last[-1]


def text(shown: str) -> str:
    return html.unescape(shown).replace("<b>", "").replace("</b>", "")


def test_summary_shows_counts_evidence_and_problems(settings, state):
    shown = text(summary_html(settings, state))
    for words in ("60 rows", "59 usable", "a list of turns", "exact duplicates", "cannot be used: no answer (row 7)"):
        assert words in shown
    assert "Open a data set" in summary_html(settings, Lens().model_dump())


def test_summary_shows_the_runner_up_and_the_notes_with_counts(settings, page_of):
    rows = [
        {"prompt": f"Question {i}?", "chosen": f"Good {i}.", "rejected": f"Bad one, and long {i}."} for i in range(5)
    ]
    state = page_of(rows)
    shown = text(summary_html(settings, state))
    assert "5 rows: the rejected answer is not trained" in shown
    assert '<div class="qs-second">Second choice: plain text: ' in shown


def test_undecided_data_set_asks_a_question_and_counts_nothing_as_usable(do, settings, undecided):
    shown, words, choices, box = do.question(undecided)
    assert shown["visible"]
    assert box["open"]
    assert "'premise' and 'hypothesis' may both belong to the question" in html.unescape(words)
    assert choices["choices"][0] == (
        "text with a label (text = premise, label = label): 9 of the first 9 rows usable",
        "0",
    )
    assert "9 rows" in text(summary_html(settings, undecided))
    assert "0 usable" in text(summary_html(settings, undecided))
    assert do.column_list(undecided) == ""
    assert do.fields(undecided)[0] is None


def test_candidate_fills_the_form_in_and_one_more_click_reads_the_rows(do, settings, undecided):
    filled = dict(zip(FIELDS, map(value_of, do.fill_in(undecided, "0")), strict=True))
    assert (filled["format"], filled["columns"]) == ("label", "text = premise\nlabel = label")
    state = read(do, undecided, **filled)
    assert "9 usable" in text(summary_html(settings, state))
    assert "text with a label chosen by you" in text(summary_html(settings, state))
    shown, _, choices, box = do.question(state)
    assert (shown["visible"], choices["choices"], box) == (False, [], gr.skip())
    for place in ("99", "-1", None, "x"):
        with pytest.raises(StudioError, match="There is no choice"):
            do.fill_in(undecided, place)


def test_reading_without_a_format_is_refused(do, undecided):
    with pytest.raises(StudioError, match="No format is chosen"):
        list(do.read_again(undecided, **FORM | {"format": None}))


def test_unread_column_used_as_context_is_in_the_conversation(do, settings, page_of):
    state = page_of(DOLLY)
    shown = do.column_list(state)
    assert "1 column not used" in shown
    assert 'data-name="category" data-value=""' in shown
    assert "40 rows" in shown
    filled = dict(zip(FIELDS, map(value_of, do.fields(state)), strict=True))
    extra = do.use_columns(filled["extra"], {"category": "context"})
    state = read(do, state, **filled | {"extra": extra})
    assert Lens.model_validate(state).rows(settings).row(1)["messages"] == talk("ask 1\n\nSome text 1.\n\nb", "say 1")
    assert "not used</b>" not in do.column_list(state)
    assert 'data-name="category" data-value="context"' in do.column_list(state)
    assert do.use_columns(extra, {"category": ""}) == "", "a choice can be taken back"


@pytest.mark.parametrize(
    ("use", "messages", "notes"),
    [
        ("system", [{"role": "system", "content": "a"}, *talk("ask 0\n\nSome text 0.", "say 0")], []),
        ("ignore", talk("ask 0\n\nSome text 0.", "say 0"), []),
        ("", talk("ask 0\n\nSome text 0.", "say 0"), ["the column 'category' is not used"]),
    ],
)
def test_use_of_a_column_decides_conversation_and_notes(do, settings, page_of, use, messages, notes):
    state = page_of(DOLLY)
    filled = dict(zip(FIELDS, map(value_of, do.fields(state)), strict=True))
    state = read(do, state, **filled | {"extra": do.use_columns("", {"category": use})})
    row = Lens.model_validate(state).rows(settings).row(0)
    assert (row["messages"], row["notes"]) == (messages, notes)
    shown = html.unescape(Browsing(settings).row(state, 0, "Conversation"))
    assert ("the column 'category' is not used" in shown) == bool(notes)


def test_columns_of_text_come_first_and_the_list_stays_short(do, page_of):
    more = {f"text {k}": "prose of several words {}" for k in range(25)}
    rows = [
        {"id": f"{i:032x}", "n": i * 7, "deep": [{"x": i}], "prompt": f"ask {i}", "completion": f"say {i}"}
        | {name: prose.format(i) for name, prose in more.items()}
        for i in range(6)
    ]
    shown = do.column_list(page_of(rows))
    assert shown.count("<select") == SHOWN_COLUMNS
    assert 'data-name="id"' not in shown
    assert "28 columns not used" in shown
    assert "8 more columns are not shown" in shown
    few = do.column_list(page_of([{k: v for k, v in row.items() if not k.startswith("text")} for row in rows]))
    assert few.index('data-name="id"') < few.index('data-name="n"') < few.index('data-name="deep"')
    assert "list or object" in few
    assert "warn" not in few, "ids, numbers and lists do not stand out"


def test_rows_are_read_again_as_the_form_says(do, settings, state):
    form = {"format": "label", "columns": "text = kind\nlabel = score", "prompt": "{text}?", "labels": "1 = one"}
    after = read(do, state, **form)
    assert Lens.model_validate(after).rows(settings).row(1)["messages"] == talk("b?", "one")
    fields = dict(zip(FIELDS, do.fields(after), strict=True))
    assert (fields["format"], fields["columns"]["value"]) == ("label", form["columns"])
    assert fields["prompt"]["visible"]
    assert "Parts: text, label. Columns: messages, score, kind." in fields["columns"]["info"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"columns": "text = nope"}, "no column 'nope'. There are: kind, messages, score"),
        ({"columns": "nope = kind"}, "has no part 'nope'. Its parts are: text, label"),
        ({"extra": "nope = context"}, "no column 'nope'"),
        ({"columns": "text = kind", "extra": "kind = ignore"}, "'kind' is used twice"),
        ({"columns": "text = kind\nlabel = kind"}, "'kind' is used twice"),
        ({"format": "messages", "labels": "1 = good"}, "“Label names” is read only for text with a label"),
        ({"format": "messages", "prompt": "{text}!"}, "“Prompt for a label” is read only for text with a label"),
        ({"format": "undecided"}, "No format is chosen"),
    ],
)
def test_reading_that_names_what_is_not_there_is_refused(do, state, values, why):
    with pytest.raises(StudioError, match=why):
        list(do.read_again(state, **FORM | {"format": "label"} | values))


def test_format_without_labels_empties_what_it_does_not_read(do, state):
    columns, prompt, labels = do.show_format(state, "label")
    assert prompt == labels == gr.update(visible=True)
    columns, prompt, labels = do.show_format(state, "alpaca")
    assert "Parts: instruction, input, output" in columns["info"]
    assert (prompt["visible"], labels["value"]) == (False, "")
    read(do, state, format="messages", prompt=prompt["value"], labels=labels["value"])


def test_unfilled_placeholders_are_offered_and_stay_when_nothing_is_filled_in(do, settings, page_of):
    state = page_of([{"messages": talk("Hello {{name}}", "b")}])
    filled = dict(zip(FIELDS, map(value_of, do.fields(state)), strict=True))
    assert filled["placeholders"] == "name = "
    assert "{{name}}" in summary_html(settings, state)
    after = Lens.model_validate(read(do, state, **filled))
    assert after.rows(settings).row(0)["messages"][0]["content"] == "Hello {{name}}"


def test_answer_without_loss_carries_a_badge(settings, page_of):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad", "weight": 0}, *talk("r", "good")]
    shown = Browsing(settings).row(page_of([{"messages": turns}]), 0, "Conversation")
    assert shown.count("not trained on") == 1


def test_program_gets_question_candidates_and_unread_columns(do, undecided, page_of):
    about = do.about(undecided)
    assert (about["undecided"], about["usable"]) == (True, 0)
    assert about["candidates"][0]["reading"]["columns"] == {"text": "premise", "label": "label"}
    about = do.about(page_of(DOLLY))
    assert about["columns"] == [{"name": "category", "kind": "category", "rows": 40, "use": None}]
    with pytest.raises(StudioError, match="No data set is chosen"):
        do.about(Lens().model_dump())


@pytest.mark.parametrize("changes", ["x", ["x"], None])
def test_changes_of_another_kind_are_refused(do, changes):
    with pytest.raises(StudioError, match="Expected an object"):
        do.use_columns("", changes)


def test_form_offers_every_format_but_the_undecided_one():
    with gr.Blocks():
        widgets = build_reading_form()
    offered = [value for _, value in widgets.fields["format"].choices]
    assert offered == [form.name for form in FORMATS if form.name != "undecided"]
    assert tuple(widgets.fields) == FIELDS
