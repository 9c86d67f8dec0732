"""A few hundred calls that no page makes; `python bench/fuzz.py` makes ten thousand."""

import random

import pytest
from fuzzing import bodies, call, raw
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from on_a_space import AUTHOR, browser, signed_in
from served import PROJECT, Page

CALLERS = {"owner": signed_in(AUTHOR), "visitor": browser("9" * 32)}


@pytest.mark.parametrize("who", CALLERS)
def test_no_call_breaks_the_server_or_leaves_a_file_outside(on_space, who):
    page = Page(on_space.url, CALLERS[who])
    before = {path for path in on_space.settings.home.parent.iterdir()} | set(PROJECT.iterdir())

    @settings(max_examples=120, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def many(data):
        call(page, *data.draw(bodies(page)))

    many()
    page.http.close()
    assert {path for path in on_space.settings.home.parent.iterdir()} | set(PROJECT.iterdir()) == before


@pytest.mark.parametrize("who", CALLERS)
def test_no_request_of_any_shape_breaks_the_server(on_space, who):
    page = Page(on_space.url, CALLERS[who])
    names, chance = [event["api_name"] for event in page.events], random.Random(who)
    page.http.close()
    for _ in range(150):
        raw(on_space, chance, names, CALLERS[who])
