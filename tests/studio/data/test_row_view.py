"""One row in the Data tab: conversation, tokens and raw text."""

import html

import pytest

from core.data.tokens import Renderer
from core.errors import StudioError
from core.train.batches import tokenize
from studio.data.page_state import PageState, parse_state
from studio.data.row_view import NO_ROW, VIEWS, row_html, tokens_view_html
from tests.helpers.datasets import dialog, open_dataset
from tests.helpers.table_html import Lenient


def test_row_with_hostile_text_shows_it_as_text(settings, state):
    for view in VIEWS[::2]:
        assert "<script>" not in row_html(settings, state, 9, view)


def test_row_that_cannot_be_used_shows_the_reason_and_its_raw_text(settings, state):
    shown = html.unescape(row_html(settings, state, 7, "Conversation"))
    assert "Cannot be used: no answer" in shown
    assert '"content": "alone"' in shown


def test_row_without_a_number_asks_for_one_and_a_wrong_number_is_refused(settings, state):
    assert NO_ROW in row_html(settings, state, None, "Tokens")
    with pytest.raises(StudioError, match="There is no row 60"):
        row_html(settings, state, 60, "Raw")


@pytest.mark.parametrize("template", ["auto", "llama2"])
def test_tokens_view_shows_the_tokens_and_loss_mask_of_the_trainer(studio, state, tokenizer, template):
    renderer = Renderer(tokenizer, template)
    for row in (0, 4, 30):
        shown = Lenient(row_html(studio, state | {"template": template, "max_length": 40}, row, "Tokens"))
        classes = [a["class"] for tag, a in shown.tags if tag == "span" and a.get("title")]
        messages = parse_state(state).open_rows(studio).row(row)["messages"]
        [trained] = tokenize(renderer, [(row, messages)], 40, answers_only=True).rows
        assert [" loss" in name for name in classes][:40] == [label >= 0 for label in trained["labels"]]
        text = tokenizer.decode(trained["input_ids"]).replace("\n", "↵\n")
        assert text in shown.text.replace("truncated here, at 40 tokens", "")
        rendered = renderer.render(messages)
        assert len(classes) == rendered.length
        assert ("truncated here" in shown.text) == (rendered.length > 40)


def test_tokens_view_of_a_row_that_the_template_refuses_shows_the_reason(studio, tmp_path):
    data = open_dataset(studio, tmp_path, [{"messages": dialog("a <|im_end|> b", "c")}], "marks.jsonl")
    shown = row_html(studio, PageState(dataset=data.id).model_dump(), 0, "Tokens")
    assert "Not trained on: a turn holds" in shown


def test_tokens_view_does_not_color_an_answer_without_loss(studio, state):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "wrong", "loss": False}]
    messages += [{"role": "user", "content": "b"}, {"role": "assistant", "content": "right"}]
    shown = Lenient(tokens_view_html(studio, parse_state(state), messages, []))
    classes = [a["class"] for tag, a in shown.tags if tag == "span" and a.get("title")]
    assert "an answer is marked to carry no loss" in shown.text
    assert sum(" loss" in name for name in classes) == 2, "right and <|im_end|>"
