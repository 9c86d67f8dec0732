"""The whole journey by keyboard alone: open a row, create a subset, train, ask both models, evaluate, download."""

import os
import signal

import pytest

from core.evaluate.store import EvaluationStore
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from tests.helpers.browser_pages import open_page, wait_until
from tests.helpers.run_events import EVENTS, write
from tests.helpers.tiny_model import tiny_llama

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Controls between two that a step of the journey needs; the settings of a run are the most.
MAX_PRESSES = 120
HAS_FOCUS = "element => element.contains(document.activeElement)"
# Some controls of Gradio show the focus on the frame around them.
HAS_RING = """() => {
  let part = document.activeElement;
  for (let level = 0; level < 4 && part; level++, part = part.parentElement) {
    const style = getComputedStyle(part);
    if (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) return true;
    if (part.matches(':focus-within') && style.boxShadow !== 'none') return true;
  }
  return false;
}"""


OPEN_LIST = "input[role=combobox][aria-expanded=true]"


@pytest.fixture
def parent(server, tokenizer):
    """A finished run of a tiny model, which the journey duplicates."""
    studio = server.settings
    folder = studio.models_dir / "tiny"
    tiny_llama(vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    short = {"max_steps": 2, "eval_rows": 2, "batch_size": 2, "gradient_accumulation": 1, "max_length": 400}
    config = QLoRAConfig(model="tiny", quantization="none", **short)
    run = RunStore(studio).create(config)
    write(run, EVENTS)
    run.save_state(RunState(status="finished", created=1000.0, ended=2000.0))
    return run


@pytest.fixture
def page(parent, chromium, server):
    made = open_page(chromium, server)
    yield made
    assert made.errors == []
    made.close()
    for run in RunStore(server.settings).runs():
        state = run.saved_state()
        if state.process_lives():
            os.killpg(state.pid, signal.SIGKILL)


def describe_focus(page) -> str:
    return page.evaluate("(e => `${e.tagName} ${e.id} ${e.className} ${e.innerText || e.value || ''}`.slice(0, 120))"
                         "(document.activeElement)")  # fmt: skip


def tab_to(page, selector: str, back: bool = False) -> None:
    """Press Tab, or Shift+Tab, until a control has the focus, and check that it can be seen there."""
    control, passed = page.locator(selector).first, []
    control.wait_for()
    while not control.evaluate(HAS_FOCUS):
        assert len(passed) < MAX_PRESSES, f"{selector} is not reached: {passed}"
        page.keyboard.press("Shift+Tab" if back else "Tab")
        passed.append(describe_focus(page))
    assert page.evaluate(HAS_RING), f"no focus ring: {describe_focus(page)}"
    assert page.locator(OPEN_LIST).count() == 0


def open_tab_by_key(page, name: str) -> None:
    """Open a tab from anywhere on the page: the tabs are before everything that is in them."""
    tab_to(page, f"#steps > .tab-wrapper [role=tab]:has-text('{name}')", back=True)
    page.keyboard.press("Enter")


def type_over(page, selector: str, text: str) -> None:
    tab_to(page, selector)
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Tab")


def create_subset(page) -> None:
    tab_to(page, "#rows tbody tr[tabindex='0']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#row-shown .qs-turn.assistant").first.wait_for()
    # One more press leaves the table, however many rows it has.
    page.keyboard.press("Tab")
    assert not page.locator("#rows tbody").evaluate(HAS_FOCUS)
    tab_to(page, "#show-create")
    page.keyboard.press("Enter")
    page.locator("#subset-field-rows input").wait_for()
    tab_to(page, "#subset-field-rows input", back=True)
    page.keyboard.press("Control+a")
    page.keyboard.type("20")
    page.keyboard.press("Tab")
    wait_until(lambda: page.locator("#subset-name :is(input, textarea)").input_value() == "keeper-20", page)
    tab_to(page, "#create-subset")
    page.keyboard.press("Enter")
    page.get_by_text("Created keeper-20").wait_for()
    tab_to(page, "#created-train")
    page.keyboard.press("Enter")


def train(page, store, parent) -> None:
    page.locator("#duplicate-run").wait_for()
    # The button that opened the tab is gone; its first field has the focus, with its list closed.
    wait_until(lambda: page.locator("#preset").evaluate(HAS_FOCUS), page)
    assert page.locator(OPEN_LIST).count() == 0
    tab_to(page, "#duplicate-run")
    page.keyboard.press("Space")
    page.locator("#copy-of").wait_for()
    tab_to(page, "#start", back=True)
    page.keyboard.press("Enter")
    wait_until(lambda: len(store.runs()) == 2 or page.locator("#start-anyway").is_visible(), page)
    if page.locator("#start-anyway").is_visible():
        tab_to(page, "#start-anyway", back=True)
        page.keyboard.press("Enter")
    wait_until(lambda: [run.state().status for run in store.runs() if run.id != parent.id] == ["finished"], page)
    page.locator("#run-status .finished").wait_for()


def ask_both(page) -> None:
    tab_to(page, "#chat-with-run")
    page.keyboard.press("Enter")
    wait_until(lambda: page.locator("#prompt").evaluate(HAS_FOCUS), page)
    wait_until(lambda: "final" in page.locator("#lane-step-2").inner_text(), page)
    tab_to(page, "#chat-settings-open")
    page.keyboard.press("Enter")
    type_over(page, "#chat-field-max_new_tokens input", "4")
    page.keyboard.press("Escape")
    page.locator("#chat-settings").wait_for(state="hidden")
    tab_to(page, "#prompt textarea")
    page.keyboard.type("What is a tide?")
    page.keyboard.press("Enter")
    page.locator("#chat-now .lb-vote").wait_for()
    assert page.locator("#chat-now .lb-card").count() == 2


def evaluate(page, store) -> None:
    open_tab_by_key(page, "Evaluate")
    page.locator("#evaluate-start").wait_for()
    tab_to(page, "#evaluate-field-run input")
    page.keyboard.press("Enter")
    page.locator(f"#evaluate-field-run {OPEN_LIST}").wait_for()
    page.keyboard.press("Escape")
    page.locator(OPEN_LIST).wait_for(state="detached")
    type_over(page, "#evaluate-field-limit input", "2")
    type_over(page, "#evaluate-field-max_new_tokens input", "4")
    tab_to(page, "#evaluate-start")
    page.keyboard.press("Enter")
    page.locator("#evaluate-status").get_by_text("finished").wait_for()
    (evaluation,) = store.all()
    assert len(evaluation.config().lanes) == 2
    page.locator("#evaluate-verdict").get_by_text("Unclear").wait_for()


def test_whole_journey_by_keyboard_alone(page, server, parent):
    store = RunStore(server.settings)
    create_subset(page)
    train(page, store, parent)
    ask_both(page)
    evaluate(page, EvaluationStore(server.settings))
    open_tab_by_key(page, "Export")
    tab_to(page, "#export-download")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".zip")
