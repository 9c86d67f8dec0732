import html

import pytest

from core.data import lengths, near_duplicates
from core.data.tokens import Renderer
from core.data.view import Filter
from core.errors import StudioError
from core.train.batches import tokenize
from studio.data.browse import NO_ROW, SHOWN, VIEWS, Browsing
from studio.data.page_state import Lens, lens_of
from tests.helpers.table_html import ATTRIBUTES, TAGS, Lenient


@pytest.fixture
def do(settings):
    return Browsing(settings)


def numbers(shown: str) -> list[int]:
    """The rows of a table, in order."""
    return [int(a["data-value"]) for tag, a in Lenient(shown).tags if tag == "tr" and "data-value" in a]


def page(do, state, at=1, size=25, ticked=(), opened=None):
    return list(do.page(state, list(ticked), opened, at, size))


def test_the_rows_come_first_and_then_their_histograms(do, state):
    first, last = page(do, state)
    assert first[1:] == last[1:] == (1, "rows 1 to 25 of 60, page 1 of 3")
    assert numbers(first[0]) == numbers(last[0]) == list(range(25))
    assert "dt-bar" not in first[0]
    assert "dt-bar" in last[0]
    assert len(page(do, state)) == 1, "known histograms come at once"


def test_pages_are_turned_and_clamped(do, state):
    assert numbers(page(do, state, at=3)[-1][0]) == list(range(50, 60))
    assert page(do, state, at=99)[-1][1] == 3
    assert page(do, Lens().model_dump()) == [("", 1, "no rows")]


def test_hostile_rows_are_text(do, state):
    shown = Lenient(page(do, state)[-1][0])
    assert {tag for tag, _ in shown.tags} <= TAGS
    assert {name for _, attributes in shown.tags for name in attributes} <= ATTRIBUTES
    assert "<script>alert(1)</script>" in shown.text
    for view in VIEWS[::2]:
        assert "<script>" not in do.row(state, 9, view)


def test_search_sort_and_bars_narrow_the_rows(do, state):
    assert numbers(page(do, do.search(state, "QUESTION 5"))[-1][0]) == [50, 51, 52, 53, 54, 55, 56, 57, 58, 59]
    once = do.sort(state, "score")
    twice = do.sort(once, "score")
    assert numbers(page(do, once)[-1][0])[0] == 0
    assert numbers(page(do, twice)[-1][0])[0] == 59
    assert do.sort(twice, "score") == state
    bar = Filter(column="kind", values=["b"]).model_dump()
    picked = do.toggle(state, bar)
    assert all(number % 2 for number in numbers(page(do, picked)[-1][0]))
    assert do.toggle(picked, bar) == do.drop(picked, bar) == state
    assert do.drop(do.search(picked, "x"), None) == state


@pytest.mark.parametrize(
    ("name", "rows"), [("all rows", 60), ("usable", 59), ("cannot be used", 1), ("exact duplicates", 1)]
)
def test_kinds_of_rows_are_shown(do, settings, state, name, rows):
    assert name in SHOWN
    lens = lens_of(do.show(state, name))
    assert lens.rows(settings).count(lens.view) == rows


def test_what_has_to_be_counted_first_is_said_and_then_shown(do, studio, state, data):
    for name in ("near duplicates", "would be truncated"):
        with pytest.raises(StudioError, match="under Numbers"):
            do.show(state, name)
    lengths.count(studio, data, data.detected, lens_of(state).tokens)
    near_duplicates.find(studio, data, data.detected)
    lens = lens_of(do.show(state | {"max_length": 60}, "would be truncated"))
    found = lens.rows(studio).count(lens.view)
    assert 0 < found < 59
    lens = lens_of(do.show(state, "near duplicates"))
    assert 5 in lens.rows(studio).numbers(lens.view)


def test_rows_are_ticked_and_put_back(do, state):
    assert do.tick(do.tick([], 4), 2) == [4, 2]
    assert do.tick([4, 2], 4) == [2]
    shown = Lenient(page(do, state, ticked=[2], opened=3)[-1][0])
    assert [a["data-value"] for tag, a in shown.tags if tag == "input" and "checked" in a] == ["2"]
    assert [a["data-value"] for tag, a in shown.tags if tag == "tr" and a.get("class") == "open"] == ["3"]


def test_columns_are_chosen(do, state):
    chosen = do.choose_columns(state, ["row", "score", "nope"])
    shown = Lenient(page(do, chosen)[-1][0])
    assert [a["data-value"] for _, a in shown.tags if a.get("data-event") == "sort_by"] == ["row", "score"]
    assert ("kind", "kind") in do.column_choices(state)["choices"]


def test_a_row_that_cannot_be_used_says_why_and_shows_what_stands_in_the_file(do, state):
    said = html.unescape(do.row(state, 7, "Conversation"))
    assert "Cannot be used: no answer" in said
    assert '"content": "alone"' in said
    assert page(do, state)[-1][0].count("cannot be used") == 1, "the others of its page can"
    assert NO_ROW in do.row(state, None, "Tokens")
    with pytest.raises(StudioError, match="There is no row 60"):
        do.row(state, 60, "Raw")


@pytest.mark.parametrize("template", ["auto", "llama2"])
def test_the_token_view_is_what_the_trainer_trains_on(do, studio, state, tokenizer, template):
    """Token by token: the text of each, and whether it carries loss, against the rows that the trainer gets."""
    renderer = Renderer(tokenizer, template)
    for row in (0, 4, 30):
        shown = Lenient(do.row(state | {"template": template, "max_length": 40}, row, "Tokens"))
        spans = [a["class"] for tag, a in shown.tags if tag == "span" and a.get("title")]
        messages = lens_of(state).rows(studio).row(row)["messages"]
        [trained] = tokenize(renderer, [(row, messages)], 40, answers_only=True).rows
        assert [" loss" in kind for kind in spans][:40] == [label >= 0 for label in trained["labels"]]
        text = tokenizer.decode(trained["input_ids"]).replace("\n", "↵\n")
        assert text in shown.text.replace("truncated here, at 40 tokens", "")
        whole = renderer.render(messages)
        assert len(spans) == whole.length
        assert ("truncated here" in shown.text) == (whole.length > 40)


def test_a_row_the_template_refuses_is_told(do, studio, tmp_path):
    from tests.helpers.datasets import opened, talk

    data = opened(studio, tmp_path, [{"messages": talk("a <|im_end|> b", "c")}], "marks.jsonl")
    assert "Not trained on: a turn holds" in do.row(Lens(dataset=data.id).model_dump(), 0, "Tokens")


def test_token_view_names_an_answer_without_loss_and_what_is_left_out(do, state):
    """The mask is the renderer's, so the answer's tokens are not coloured; the facts name the reason."""
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "wrong", "loss": False}]
    talk += [{"role": "user", "content": "b"}, {"role": "assistant", "content": "right"}]
    shown = Lenient(do._tokens(lens_of(state), talk, []))
    coloured = [a["class"] for tag, a in shown.tags if tag == "span" and a.get("title")]
    assert "an answer is marked to carry no loss" in shown.text
    assert sum(" loss" in kind for kind in coloured) == 2, "right and <|im_end|>"
