"""Token statistics and near duplicates in the Data tab."""

import re
from typing import get_args

import pytest

from core.data import lengths
from core.data.templates import TemplateName
from core.data.view import Filter
from core.errors import StudioError
from core.models import embedded
from studio.data.browse import Browse
from studio.data.page_state import PageState, parse_state
from studio.data.token_stats import _TEMPLATES, TokenStats

pytestmark = pytest.mark.usefixtures("tokenizers_in_jobs")


@pytest.fixture
def do(studio, jobs):
    return TokenStats(studio, jobs)


def test_count_shows_progress_and_then_the_statistics(do, studio, state, data):
    assert "Press “Count tokens”" in do.show(state)["token_stats"]
    *running, last = do.count(state)
    assert running
    assert all("Counting tokens of 60 rows" in update["progress"] for update in running)
    assert last["state"]["counted"] == 1
    shown = do.show(last["state"])["token_stats"]
    path = lengths.path_of(studio, data, data.detected, parse_state(state).tokens)
    found = lengths.summarize(path, 1024, 8)
    for number in (found.tokens, found.median, found.longest):
        assert f"{number:,}" in shown
    assert "tokens in the filtered rows" not in shown
    narrowed = do.show(Browse(studio).search(last["state"], "question 1")["state"])["token_stats"]
    assert "tokens in the filtered rows" in narrowed
    assert "None of these rows" in do.show(Browse(studio).search(last["state"], "nowhere")["state"])["token_stats"]


def test_statistics_show_the_line_of_truncation(do, state):
    *_, last = do.count(state)
    shown = do.show(last["state"] | {"max_length": 50})["token_stats"]
    assert "truncated at 50" in shown
    assert re.search(r"<b>[\d,]+</b> rows truncated at 50 \([\d.]+%\)", shown)


def test_find_near_duplicates_shows_their_number(do, state, toasts):
    *_, last = do.find_near_duplicates(state)
    assert last["state"]["counted"] == 1
    assert re.search(r"1 row is almost the same as an earlier one|[1-9]\d* rows are almost", toasts[0])


def test_choose_tokenizer_drops_filters_on_the_old_counts(do, state):
    view = parse_state(state).view.toggle(Filter(column="tokens", low=5)).model_copy(update={"sort": "tokens"})
    page = parse_state(
        do.choose_tokenizer(state | {"view": view.model_dump()}, embedded.NAME, "llama2", 77, 3)["state"]
    )
    assert (page.template, page.max_length, page.batch) == ("llama2", 77, 3)
    assert (page.view.filters, page.view.sort) == ([], "")


def test_choose_tokenizer_has_the_bounds_of_training(do, state):
    with pytest.raises(StudioError, match=r"Maximum length must be .* .given: 0."):
        do.choose_tokenizer(state, embedded.NAME, "auto", 0, 8)
    with pytest.raises(StudioError, match="Batch size is empty"):
        do.choose_tokenizer(state, embedded.NAME, "auto", 512, None)
    assert "Open a dataset first" in do.show(PageState().model_dump())["token_stats"]
    assert do.on_load()["model"]["choices"][0][1] == embedded.NAME


def test_token_statistics_offer_every_chat_template():
    assert {name for _, name in _TEMPLATES} == set(get_args(TemplateName))
