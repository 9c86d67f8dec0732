"""Every action shows within a second that it is worked on, even if the server does not answer at all.

The actions come from the configuration of the page, so a new button without a sign fails here.
"""

import os
import re
import signal
from pathlib import Path

import pytest

from core.settings import Settings
from studio.app import build
from tests.helpers.browser_pages import open_page, open_tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Looks for a sign, 20 ms apart: a second of an idle page. Counted, so that a page that other tests slow down, and whose
# own clock is late as well, has the same chance.
MAX_LOOKS = 50
# Parts of the page that are hidden at first are shown here, so that every button can be pressed.
SHOWN = (b'"visible":false', b'"open":false', b'"interactive":false')
# Kinds of events that a person triggers, by the type of the component; a new kind needs a case below.
KINDS = {
    # The browser closes an accordion at once; the server only notes it.
    "accordion": {"collapse", "expand"},
    "button": {"click"},
    "checkbox": {"change", "input"},
    "checkboxgroup": {"change", "input"},
    "dataset": {"select"},
    "dropdown": {"change", "focus", "input"},
    "file": {"upload"},
    "html": {
        "cancel_turns", "change", "choose", "continue_answer", "delete_file", "download_card", "download_file",
        "drop_filter", "earlier_attempt", "edit", "go", "open_row", "pick_bar", "pick_row", "pick_span", "picked",
        "retry_lane", "returned", "save_turns", "sort_by", "step_row", "stop_lane", "suggest", "tick_row",
        "undo_vote", "vote", "why", "zoomed",
    },
    "number": {"blur", "change", "submit"},
    "radio": {"change", "input"},
    "slider": {"input"},
    "tabitem": {"select"},
    "tabs": {"select"},
    "textbox": {"blur", "change", "input", "submit"},
}  # fmt: skip
# Types whose events no person triggers.
OWN_TYPES = {None, "state", "timer"}
# Presses a button, and returns whether the button itself shows a sign.
PRESS = """async ([id, looks]) => {
  // Until the parts of a tab that was just opened are there.
  await new Promise(resume => requestIdleCallback(resume));
  const button = document.getElementById(id);
  // What CSS hides as long as it has no content is shown, too.
  for (let part = button; part; part = part.parentElement) {
    if (getComputedStyle(part).display === 'none') part.style.setProperty('display', 'block', 'important');
  }
  button.click();
  for (let look = 0; look < looks; look++) {
    await new Promise(resume => setTimeout(resume, 20));
    const seen = button.getAttribute('aria-busy') === 'true' && button.getClientRects().length;
    if (seen && /…|\\d s/.test(getComputedStyle(button, '::after').content)) return true;
  }
  return false;
}"""
OPEN_TAB = """([bar, label]) => [...document.querySelectorAll(`#${bar} > .tab-wrapper [role=tab]`)]
  .find(tab => tab.textContent.trim() === label).click()"""
OPEN_DRAWERS = """() => document.querySelectorAll('.sd-drawer[data-open="false"]').forEach(
  drawer => drawer.dispatchEvent(new Event('drawer-open')))"""


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    """The configuration that the page is made from."""
    home: Path = tmp_path_factory.mktemp("config") / "home"
    return build(Settings(home=home, example=False).prepare()).config


def triggers(config):
    """Yield the component and the name of each event that calls the server."""
    components = {one["id"]: one for one in config["components"]}
    for dependency in config["dependencies"]:
        if dependency["backend_fn"]:
            for number, event in dependency["targets"]:
                yield components.get(number, {"type": None}), event


def test_every_kind_of_action_has_a_case(config):
    found = {}
    for component, event in triggers(config):
        if component["type"] not in OWN_TYPES:
            found.setdefault(component["type"], set()).add(event)
    assert found == KINDS


@pytest.fixture
def hung_page(chromium, server):
    """The page with all its parts shown, whose calls get no answer."""

    def show_all(route):
        answer = route.fetch()
        body = answer.body()
        for text in SHOWN:
            body = body.replace(text, text.replace(b"false", b"true"))
        route.fulfill(response=answer, body=body)

    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.route(re.compile(rf":{server.port}/$"), show_all)
    page.route("**/queue/join*", lambda route: None)
    page.goto(server.url, wait_until="domcontentloaded")
    page.locator("#page-next").wait_for(state="attached")
    yield page
    assert page.errors == []
    page.close()


def element_id(component) -> str:
    return component["props"].get("elem_id") or f"component-{component['id']}"


def tabs_around(config) -> dict[int, tuple[tuple[str, str], ...]]:
    """Return, for each component, the tabs that it is in, each as the id of its bar and its label; outermost first."""
    components, found = {one["id"]: one for one in config["components"]}, {}

    def visit(node, around, parent):
        here = components.get(node["id"], {"type": None})
        if here["type"] == "tabitem":
            around = (*around, (components[parent]["props"]["elem_id"], here["props"]["label"]))
        found[node["id"]] = around
        for child in node.get("children") or []:
            visit(child, around, node["id"])

    visit(config["layout"], (), None)
    return found


def test_every_button_shows_within_a_second_that_it_is_worked_on(hung_page, config):
    around, components = tabs_around(config), {one["id"]: one for one in config["components"]}
    buttons = {part["id"] for part, event in triggers(config) if (part["type"], event) == ("button", "click")}
    assert len(buttons) > 80
    without, opened = [], ()
    for number in sorted(buttons, key=lambda number: (around[number], number)):
        for tab in around[number] if around[number] != opened else ():
            hung_page.evaluate(OPEN_TAB, tab)
        opened = around[number]
        name = element_id(components[number])
        hung_page.locator(f"#{name}").wait_for(state="attached")
        hung_page.evaluate(OPEN_DRAWERS)
        if not hung_page.evaluate(PRESS, [name, MAX_LOOKS]):
            without.append(name)
    assert not without, " ".join(without)


def test_a_setting_waits_for_the_call_that_holds_its_own_back(hung_page):
    """All settings share one event, of whose triggers Gradio sends none while another is under way."""
    hung_page.get_by_role("tab", name="Train", exact=True).first.click()
    for name in ("lora_rank", "lora_alpha"):
        field = f"#train-field-{name}"
        hung_page.locator(f"{field} input").first.fill("7")
        assert hung_page.evaluate(FIND_SIGN, [field, MAX_LOOKS]), name


@pytest.fixture
def page(chromium, server):
    made = open_page(chromium, server)
    yield made
    assert made.errors == []
    made.close()


def choose(page, selector: str) -> None:
    """Choose the second entry of a list by key."""
    page.locator(f"{selector} input").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


# Name, tab, what is done, and where the sign is: on what was pressed or on what will change.
ACTIONS = [
    ("sort", "Data", lambda page: page.locator("#rows .dt-name").first.click(), "#rows"),
    ("open a row", "Data", lambda page: page.locator("#rows tbody tr").nth(3).click(), "#rows, #row-shown"),
    ("tick a row", "Data", lambda page: page.locator("#rows tbody input").nth(2).click(), "#rows"),
    ("turn the page", "Data", lambda page: page.locator("#page-next").click(), "#page-next, #rows"),
    ("search", "Data", lambda page: page.locator("#search :is(input, textarea)").fill("tide"), "#rows, #search"),
    ("show raw", "Data", lambda page: page.locator("#row-view label", has_text="Raw").click(), "#row-view, #row-shown"),
    ("open the reading", "Data", lambda page: page.locator("#reading > .label-wrap").click(), "#reading"),
    # Last, because few rows are left after it.
    ("filter by a bar", "Data", lambda page: page.locator("#rows .dt-bar.on, #rows .dt-bar").first.click(), "#rows"),
    ("choose a preset", "Train", lambda page: choose(page, "#preset"), "#preset"),
    (
        "change a setting",
        "Train",
        lambda page: page.locator("#train-field-lora_rank input").first.fill("7"),
        "#train-row",
    ),
    ("show all settings", "Train", lambda page: page.locator("#extent label").last.click(), "#extent"),
    ("follow the bar", "Train", lambda page: page.locator("#journey .jb-steps button").first.click(), "#journey"),
]  # fmt: skip
FIND_SIGN = """([places, looks]) => new Promise(resume => {
  const look = () => {
    const parts = [...document.querySelectorAll(places)];
    const busy = parts.flatMap(part => [part, ...part.querySelectorAll('*')]).filter(
      part => part.matches('[aria-busy="true"], .pending') && part.getClientRects().length);
    if (busy.length) resume(true);
    else if (--looks < 0) resume(false);
    else setTimeout(look, 20);
  };
  look();
})"""


def test_every_kind_of_control_shows_within_a_second_that_it_is_worked_on(page, server):
    without = []
    tab = "Data"
    for name, of, act, places in ACTIONS:
        if of != tab:
            open_tab(page, tab := of)
            page.get_by_text("No run yet").wait_for()
        page.wait_for_function("!document.querySelector('[data-busy]')")
        os.killpg(server.process.pid, signal.SIGSTOP)
        try:
            act(page)
            if not page.evaluate(FIND_SIGN, [places, MAX_LOOKS]):
                without.append(name)
        finally:
            os.killpg(server.process.pid, signal.SIGCONT)
    assert not without, " ".join(without)
    # Parts that the server has answered show no sign any more.
    page.wait_for_function("!document.querySelector('[data-busy]')")
