"""From the click that makes something until its first sign, no part of the page says that there is none yet."""

import pytest

from studio.none_yet import SENTENCES
from tests.helpers.browser_pages import open_page, open_tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Tabs to open until a view shows its sentence, by the id of the view.
WAYS = {
    "journey": (),
    "numbers": ("Data", "Token statistics"),
    "run-status": ("Train",),
    "runs-table": ("Train", "All runs"),
    "evaluate-status": ("Evaluate",),
}
# Presses a button, and returns whether the sentence can be read then, and also after the view has arrived once more.
PRESS = """([button, place]) => {
  const isRead = () => {
    const one = document.querySelector(place), style = getComputedStyle(one);
    return style.display !== 'none' && style.fontSize !== '0px' && [one, ...one.children].some(
      part => getComputedStyle(part).display !== 'none' && part.textContent.trim() && style.fontSize !== '0px');
  };
  const found = [isRead()];
  // A button that is hidden is not in the page yet.
  const made = () => document.body.appendChild(Object.assign(document.createElement('button'), {id: button}));
  (document.getElementById(button) || made()).click();
  found.push(isRead());
  const one = document.querySelector(place);
  one.replaceWith(one.cloneNode(true));
  found.push(isRead());
  return found;
}"""


def test_no_sentence_says_none_between_a_click_and_its_first_sign(chromium, server):
    page = open_page(chromium, server)
    for way in {WAYS[one.view]: None for one in SENTENCES}:
        for tab in way:
            open_tab(page, tab)
        for one in (one for one in SENTENCES if WAYS[one.view] == way):
            page.locator(f"#{one.view} {one.sentence}").first.wait_for(state="attached")
    # Each call fails at once, but no answer arrives while the script of `PRESS` runs.
    page.route("**/queue/join*", lambda route: route.fulfill(status=500, json={"detail": "Refused by the test."}))
    for one in SENTENCES:
        place = f"#{one.view} {one.sentence}"
        for button in one.buttons:
            assert page.evaluate(PRESS, [button, place]) == [True, False, False], (button, place)
            # Nothing follows from the call: what the sentence says is true again.
            page.wait_for_function("!document.documentElement.dataset.begun")
    page.close()
