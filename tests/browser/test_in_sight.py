"""Scripts that bring into sight what a press has made, and wrapped labels: on an empty page, without a server."""

from urllib.parse import quote

import pytest

from components.html import read_static as read_component
from studio.html import read_static
from studio.train.controls import TRAIN_FURTHER

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


def test_part_of_a_tab_that_is_being_opened_comes_to_the_top(page):
    page.set_content(PAGE.format(above=1500))
    part = "document.getElementById('part').style.display"
    page.evaluate(f"{part} = 'none'; ({read_static('show_part.js').replace('PART', 'part')})()")
    page.evaluate(f"requestAnimationFrame(() => requestAnimationFrame(() => {part} = 'block'))")
    assert page.evaluate(SETTLE) > 0


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


@pytest.mark.parametrize("name", ["resume-with-form", "with-previous", "runs-all"])
def test_label_of_a_checkbox_is_wrapped_on_a_phone(page, name):
    label = f'<label style="display: flex"><input type="checkbox"><span>{TRAIN_FURTHER}</span></label>'
    box = f'<div class="row" style="display: flex; flex-wrap: wrap; width: 200px"><div id="{name}">{label}</div></div>'
    page.set_content(f"<style>{read_static('train.css')}</style>{box}")
    assert page.locator("span").bounding_box()["width"] < 200
    assert page.locator("span").bounding_box()["height"] > 30


TOAST = """<div class="gradio-container"><div class="main">
<div class="toast-wrap" style="position: fixed; left: 0; right: 0; height: 100px">
<div class="toast-body info" data-testid="toast-body"><p>Saved</p>
<button data-testid="toast-close" onclick="this.closest('.toast-body').remove()">x</button></div></div></div></div>"""
# As Gradio begins the timer of a group of toasts.
BEGIN = "() => setTimeout(() => { [].forEach(t=>{t.onclose?.()}) }, 9000)"
SIDE = "() => document.querySelector('.toast-wrap').dataset.side"


@pytest.mark.parametrize(("top", "side"), [(20, "bottom"), (HEIGHT - 60, "top")])
def test_toast_is_where_it_covers_fewer_controls_and_goes_when_it_is_pressed(page, top, side):
    field, other = (
        f'<input id="{name}" style="position: fixed; top: {y}px">' for name, y in (("a", top), ("b", HEIGHT - 40 - top))
    )
    page.set_content(f"<style>{read_static('toasts.css')}</style>{field}")
    page.evaluate(read_static("toasts.js"))
    page.locator("body").evaluate("(body, html) => body.insertAdjacentHTML('beforeend', html)", TOAST)
    page.evaluate(BEGIN)
    page.wait_for_function(f"({SIDE})() === '{side}'")
    # A field below the toast takes the focus.
    page.locator("body").evaluate("(body, html) => body.insertAdjacentHTML('beforeend', html)", other)
    page.locator("#a").evaluate("field => field.remove()")
    page.locator("#b").focus()
    assert page.evaluate(SIDE) != side
    page.get_by_text("Saved").click()
    assert page.locator(".toast-body").count() == 0
