"""A few hundred calls that no page makes; `python bench/fuzz.py` makes ten thousand."""

import random

import pytest
from fuzzing import bodies, call, raw
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from on_a_space import AUTHOR, browser, signed_in
from served import PROJECT, Page

CALLERS = {"owner": signed_in(AUTHOR), "visitor": browser("9" * 32)}


def around(app):
    """What lies beside STUDIO_HOME and in the project, but for what test runs keep there."""
    return {*app.settings.home.parent.iterdir(), *(path for path in PROJECT.iterdir() if path.name[0] not in "._")}


@pytest.mark.parametrize("who", CALLERS)
def test_no_call_breaks_the_server_or_leaves_a_file_outside(on_space, who):
    page = Page(on_space.url, CALLERS[who])
    before = around(on_space)

    # the same calls each time: what others find, bench/fuzz.py is for
    @settings(
        max_examples=120, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None,
        derandomize=True,
    )  # fmt: skip
    @given(st.data())
    def many(data):
        call(page, *data.draw(bodies(page)))

    many()
    page.http.close()
    assert around(on_space) == before


@pytest.mark.parametrize("who", CALLERS)
def test_no_request_of_any_shape_breaks_the_server(on_space, who):
    page = Page(on_space.url, CALLERS[who])
    names, chance = [event["api_name"] for event in page.events], random.Random(who)
    page.http.close()
    for _ in range(150):
        raw(on_space, chance, names, CALLERS[who])
