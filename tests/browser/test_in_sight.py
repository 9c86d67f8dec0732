"""Scripts that bring into sight what a press has made, on an empty page: no server is needed."""

from urllib.parse import quote

import pytest

from components.html import read_static as read_component
from studio.html import read_static

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = """<button style="position: fixed; top: 0">Press</button><div style="height: {above}px"></div>
<div id="part" style="height: 80px">Part</div><div id="export-file" style="height: 60px">Download</div>
<div id="export-result"><h3>Name</h3><p>Size</p><p class="ex-verdict">Verdict</p></div>
<div style="height: 2000px"></div>"""
BAR = f"(() => {{ const element = document.getElementById('part'); {read_component('progress_bar.js')} }})()"
TOP = "name => document.querySelector(name).getBoundingClientRect().top"
HEIGHT = 844
# Until nothing has moved for a while.
SETTLE = """() => new Promise(resume => {
  let last = null, same = 0;
  const look = () => {
    same = scrollY === last ? same + 1 : 0;
    last = scrollY;
    if (same > 10) resume(scrollY); else requestAnimationFrame(look);
  };
  look();
})"""


@pytest.fixture
def page(chromium):
    made = chromium.new_page(viewport={"width": 390, "height": HEIGHT})
    yield made
    made.close()


def scroll_by(page, above: int, script: str) -> int:
    """Return how far a script scrolls a page whose part begins at a height."""
    page.set_content(PAGE.format(above=above))
    page.evaluate(f"({script})()")
    return page.evaluate(SETTLE)


@pytest.mark.parametrize(("above", "is_moved"), [(100, False), (700, True), (1500, True)])
def test_part_comes_to_the_top_unless_it_is_in_sight_with_space_below(page, above, is_moved):
    script = read_static("show_part.js").replace("PART", "part")
    assert (scroll_by(page, above, script) > 0) is is_moved
    if is_moved:
        assert abs(page.evaluate(TOP, "#part")) < 1


@pytest.mark.parametrize(("above", "is_moved"), [(100, False), (1500, True)])
def test_progress_bar_comes_into_sight_after_a_press(page, above, is_moved):
    page.set_content(PAGE.format(above=above))
    page.locator("button").click()
    page.evaluate(BAR)
    assert (page.evaluate(SETTLE) > 0) is is_moved
    assert 0 < page.evaluate(TOP, "#part") < HEIGHT - 80


def test_progress_bar_of_a_page_that_was_only_loaded_stays_where_it_is(page):
    # From an address, because all scripts that playwright runs count as a press.
    page.goto("data:text/html," + quote(f"{PAGE.format(above=1500)}<script>{BAR}</script>"))
    assert page.evaluate(SETTLE) == 0


@pytest.mark.parametrize(("above", "is_moved"), [(100, False), (HEIGHT - 150, True), (HEIGHT + 100, False)])
def test_verdict_follows_where_the_progress_was_in_sight(page, above, is_moved):
    assert (scroll_by(page, above, read_static("show_verdict.js")) > 0) is is_moved
    assert (page.evaluate(TOP, ".ex-verdict") < HEIGHT) is (above < HEIGHT)
