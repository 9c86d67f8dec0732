import re

import pytest

from core.data import lengths
from core.data.view import Filter
from core.errors import StudioError
from core.models import embedded
from studio.data.browse import Browsing
from studio.data.page_state import Lens, lens_of
from studio.data.token_stats import Numbers


@pytest.fixture
def do(studio, jobs):
    return Numbers(studio, jobs)


def test_counting_is_followed_and_seen(do, studio, state, data):
    assert "Press “Count tokens”" in do.show(state)
    *running, last = do.count(state)
    assert all("Counting tokens of 60 rows" in update[1] for update in running)
    assert last[-1]["counted"] == 1
    shown = do.show(last[-1])
    path = lengths.path_of(studio, data, data.detected, lens_of(state).tokens)
    found = lengths.summarize(path, 1024, 8)
    for number in (found.tokens, found.median, found.longest):
        assert f"{number:,}" in shown
    assert "tokens of the rows filtered" not in shown
    narrowed = do.show(Browsing(studio).search(last[-1], "question 1"))
    assert "tokens of the rows filtered" in narrowed
    assert "None of these rows" in do.show(Browsing(studio).search(last[-1], "nowhere"))


def test_the_cut_is_drawn_where_it_is(do, state):
    *_, last = do.count(state)
    shown = do.show(last[-1] | {"max_length": 50})
    assert "cut at 50" in shown
    assert re.search(r"<b>[\d,]+</b> rows cut at 50 \([\d.]+%\)", shown)


def test_near_duplicates_are_told_in_a_toast(do, state, toasts):
    *_, last = do.find_near(state)
    assert last[-1]["counted"] == 1
    assert re.search(r"[1-9]\d* rows are almost the same as an earlier one", toasts[0])


def test_another_tokenizer_drops_filters_on_the_old_counts(do, state):
    view = lens_of(state).view.toggle(Filter(column="tokens", low=5)).model_copy(update={"sort": "tokens"})
    looked = lens_of(do.look_through(state | {"view": view.model_dump()}, embedded.NAME, "llama2", 77, 3))
    assert (looked.template, looked.max_length, looked.batch) == ("llama2", 77, 3)
    assert (looked.view.filters, looked.view.sort) == ([], "")


def test_bounds_are_those_of_training(do, state):
    with pytest.raises(StudioError, match=r"Maximum length: .* .given: 0."):
        do.look_through(state, embedded.NAME, "auto", 0, 8)
    with pytest.raises(StudioError, match="Batch size is empty"):
        do.look_through(state, embedded.NAME, "auto", 512, None)
    assert "Open a data set first" in do.show(Lens().model_dump())
    assert do.on_load()["choices"][0][1] == embedded.NAME
