"""The Train tab in a browser, with runs of a tiny model: settings, queue, charts, rows of a step, samples, delete."""

import os
import re
import signal
import time

import pytest

from core.runs.config import QLoRAConfig, group_of
from core.runs.names import file_stem
from core.runs.store import NOT_ENDED, RunState, RunStore
from tests.helpers.browser_pages import open_page, wait_until
from tests.helpers.run_events import EVENTS, write
from tests.helpers.tiny_model import tiny_llama

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROMPT = "What is a tide?"


@pytest.fixture
def page(chromium, server, tokenizer):
    folder = server.settings.models_dir / "tiny"
    tiny_llama(vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    made = open_page(chromium, server, "Train")
    yield made
    assert made.errors == []
    made.close()
    for run in RunStore(server.settings).runs():
        state = run.saved_state()
        if state.process_lives():
            os.killpg(state.pid, signal.SIGKILL)


def open_group(page, name: str) -> None:
    page.locator("#train-groups").get_by_role("button", name=name).first.click()


def fill(page, name: str, value: str) -> None:
    field = page.locator(f"#train-field-{name} input, #train-field-{name} textarea").first
    field.fill(value)
    field.press("Tab")


def choose(page, name: str, value: str) -> None:
    page.locator(f"#train-field-{name} input").click()
    page.get_by_role("option", name=value, exact=True).first.click()


def fill_tiny_run(page, steps: int) -> None:
    """Fill in the form for a run of seconds."""
    fill(page, "model", "tiny")
    page.locator("#extent label", has_text="All settings").click()
    open_group(page, "LoRA")
    open_group(page, "Model")
    choose(page, "quantization", "none")
    open_group(page, "Batch and length")
    fill(page, "max_steps", str(steps))
    open_group(page, group_of("eval_steps"))
    fill(page, "eval_steps", "3")
    fill(page, "save_steps", "3")
    fill(page, "sample_prompts", PROMPT)
    fill(page, "sample_tokens", "6")


def refuse_then_accept(page) -> None:
    """Press Start with an invalid setting that is hidden, then with one that truncates rows, and accept the warning."""
    fill(page, "lora_dropout", "3")
    page.locator("#extent label", has_text="Basic").click()
    page.locator("#train-field-lora_dropout").wait_for(state="hidden")
    page.locator("#start").click()
    page.locator("#train-field-lora_dropout-error", has_text="Dropout must be less than 1").wait_for()
    page.wait_for_function("document.activeElement.closest('#train-field-lora_dropout')")
    assert page.locator("#train-field-lora_dropout input").get_attribute("aria-invalid") == "true"
    fill(page, "lora_dropout", "0")
    page.locator("#train-field-lora_dropout-error").wait_for(state="detached")
    open_group(page, "Batch and length")
    fill(page, "max_length", "180")
    page.locator("#start").click()
    page.locator("#start-card", has_text="will be truncated").wait_for()
    page.locator("#change-settings").click()
    page.locator("#train-field-max_length-error", has_text="will be truncated").wait_for()
    page.locator("#start").click()
    page.locator("#start-anyway").click()


# Keeps what the run's side says, with the milliseconds since Start was pressed.
WATCH_START = """() => {
  const view = document.getElementById('train-views');
  const shown = [];
  let pressed = 0;
  document.getElementById('start').addEventListener('click', () => { pressed = performance.now(); }, true);
  new MutationObserver(() => { if (pressed) shown.push([performance.now() - pressed, view.innerText]); })
    .observe(document.body, {childList: true, subtree: true, characterData: true, attributeFilter: ['aria-busy']});
  window.shown = shown;
}"""
# A page that other tests slow down is given more than the second that tests/browser/test_waits.py demands.
SETTLED_MS = 3_000


def check_start(page) -> None:
    """Check that the run's side soon says no more that there is no run, but that it starts."""
    shown = page.evaluate("window.shown")
    # The page alone removes the sentence; the stage comes with the server's first answer.
    assert not [text for milliseconds, text in shown if milliseconds > SETTLED_MS and "No run yet" in text]
    starting = next(index for index, (_, text) in enumerate(shown) if "Starting. " in text)
    assert not [text for _, text in shown[starting:] if "No run yet" in text]
    assert any("preparing" in text or "running" in text for _, text in shown[starting:])


def reload_seconds(page) -> float:
    """Load the page again, and return the seconds from opening the Train tab until it shows the run."""
    page.reload(wait_until="domcontentloaded")
    page.get_by_role("tab", name="Train", exact=True).click()
    opened = time.monotonic()
    page.locator("#run-status .running").wait_for()
    assert page.get_by_text("No run yet").count() == 0
    return time.monotonic() - opened


def selected_run(page) -> str:
    return page.locator("#run input").input_value()


def test_train_run_from_the_form_to_its_sample_answers(page, server):
    page.locator("#extent label", has_text="Basic").click()
    assert not page.locator("#train-field-lora_dropout").is_visible()
    fill_tiny_run(page, 8)
    assert not page.locator("#train-field-double_quantization").is_visible(), "it applies to 4-bit weights only"
    page.locator("#check").click()
    page.locator("#findings").get_by_text("306 rows to train on").wait_for()
    refuse_then_accept(page)
    page.locator("#run-status .finished").wait_for()
    page.locator("#run-status .qs-accepted", has_text="will be truncated").wait_for()
    store = RunStore(server.settings)
    (run,) = store.runs()
    assert run.saved_state().warnings
    assert run.config() == QLoRAConfig(
        model="tiny", quantization="none", max_steps=8, eval_steps=3, save_steps=3, sample_prompts=PROMPT,
        sample_tokens=6, batch_size=4, learning_rate=2e-3, warmup_ratio=0.0, max_length=180, eval_rows=24,
    )  # fmt: skip

    points = page.locator("#loss-chart circle")
    wait_until(lambda: points.count() >= 8 + 4, page)
    page.locator("#loss-chart select[name=axis]").select_option("tokens")
    page.locator("#loss-chart input[name=logY]").check()
    page.locator("#loss-chart input[name=smooth]").fill("0.8")
    wait_until(lambda: page.locator("#loss-chart path.curve").count() == 3, page)
    page.locator("#loss-chart .ch-legend button", has_text="held-out").click()
    wait_until(lambda: page.locator("#loss-chart path.curve").count() == 2, page)

    page.locator("#loss-chart svg").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Rows of a step").click()
    page.locator("#step").get_by_text("Step 8").wait_for()
    page.locator("#step-row-shown .qs-turn.assistant").first.wait_for()
    page.locator("#step-tokens input").check()
    page.locator("#step-row-shown .qs-tokens .loss").first.wait_for()
    page.locator("#exclude-row").click()
    wait_until(lambda: page.locator("#train-field-subset input").input_value().startswith("keeper-without-"), page)

    page.get_by_role("tab", name="Sample answers").click()
    page.locator("#samples").get_by_text("answered at step 8").wait_for()
    page.get_by_role("tab", name="Log").click()
    page.locator("#read-log").click()
    page.locator("#run-log").wait_for()

    page.locator("#loss-chart").scroll_into_view_if_needed()
    with page.expect_download() as download:
        page.locator("#loss-chart .ch-png").click()
    assert download.value.suggested_filename == "loss.png"
    for button, ending in (("#curves-csv", "curves.csv"), ("#run-report", "report.zip")):
        with page.expect_download() as download:
            page.locator(button).click()
        assert download.value.suggested_filename == f"{file_stem(run.title, run.id)}-{ending}"

    # The page was opened before the run and its checkpoints existed.
    page.get_by_role("tab", name="Chat", exact=True).click()
    page.locator("#lane-step-2").get_by_text("Checkpoint: final").wait_for()
    assert page.get_by_text("Train first").count() == 0


def test_all_runs_can_be_sorted_compared_and_opened(page, server):
    store = RunStore(server.settings)
    for index, rank in enumerate((8, 32)):
        made = store.create(QLoRAConfig(model="tiny", lora_rank=rank))
        steps = [EVENTS[3] | {"step": step, "loss": 3 - index - step / 10} for step in range(1, 9)]
        write(made, [EVENTS[2], *steps, {"event": "eval", "step": 8, "loss": 2.0 + index}])
        made.save_state(RunState(status="finished", created=1000.0 + index, ended=2000.0))
    second, first = store.runs()
    page.get_by_role("tab", name="All runs").click()
    rows = page.locator("#runs-table tbody tr")
    wait_until(lambda: rows.count() == 2, page)
    assert rows.nth(0).get_attribute("data-value") == second.id, "the newest first"
    page.locator("#runs-table .dt-name", has_text="Held-out loss").first.click()
    wait_until(lambda: rows.nth(0).get_attribute("data-value") == first.id, page)
    for index in (0, 1):
        rows.nth(index).locator("input").click()
        wait_until(lambda index=index: page.locator("#compare-chart path.curve").count() == index + 1, page)
    page.locator("#runs-differ tr", has_text="Rank").get_by_text("32").wait_for()
    page.locator("#compare-metric label", has_text="gradient norm").click()
    page.locator("#compare-chart .ch-title", has_text="gradient norm").wait_for()
    rows.nth(1).locator("td").nth(1).click()
    wait_until(lambda: selected_run(page).startswith(second.title), page)
    page.locator("#run-status .finished").wait_for()


def test_train_queue_stop_resume_kill_label_and_delete(page, server, record_property):
    fill_tiny_run(page, 400)
    store = RunStore(server.settings)
    page.get_by_text("No run yet").wait_for()
    page.evaluate(WATCH_START)
    page.locator("#start").click()
    wait_until(lambda: len(store.runs()) == 1, page)
    page.locator("#run-status .running").wait_for()
    check_start(page)
    first = store.runs()[0]
    fill(page, "max_steps", "3")
    page.locator("#start").click()
    page.locator("#queue").get_by_text("Queue:").wait_for()
    page.locator("#run-status .queued").wait_for()
    (second,) = store.queue()

    page.locator("#run input").click()
    page.get_by_role("option", name=re.compile(f"^{first.title} · (running|preparing)")).first.click()
    page.locator("#run-status .running").wait_for()
    page.locator("#stop").click()
    wait_until(lambda: first.state().status == "stopped", page)
    wait_until(lambda: second.state().status == "finished", page)
    page.locator("#run-status .stopped").wait_for()
    reached = max(event.step for event in first.events() if event.event == "step")
    page.locator("#resume").click()
    wait_until(lambda: any(event.event == "resumed" for event in first.events()), page)
    wait_until(lambda: max(e.step for e in first.events() if e.event == "step") > reached, page)
    assert not page.locator("#ask-kill").is_visible(), "Stop comes first"
    # The worker pauses, so that the run does not end before the page is back.
    worker = first.saved_state().pid
    os.kill(worker, signal.SIGSTOP)
    try:
        record_property("seconds until a reloaded page shows the run", round(reload_seconds(page), 2))
    finally:
        os.kill(worker, signal.SIGCONT)
    page.locator("#stop").click()
    # A step of the tiny model may end before the button is there.
    wait_until(lambda: page.locator("#ask-kill").is_visible() or first.state().status == "stopped", page)
    if page.locator("#ask-kill").is_visible():
        page.locator("#ask-kill").click()
        # It asks once more, unless the run has ended meanwhile.
        wait_until(lambda: page.locator("#kill").is_visible() or first.state().status == "stopped", page)
        if page.locator("#kill").is_visible():
            page.locator("#kill").click()
    wait_until(lambda: first.state().status not in NOT_ENDED, page)
    page.locator("#run-status .stopped").wait_for()

    page.locator("#rename").click()
    page.locator("#run-name :is(input, textarea):focus").fill("<b>My run</b>")
    page.keyboard.press("Enter")
    wait_until(lambda: selected_run(page).startswith("<b>My run</b>"), page)
    page.locator("#rename-row").wait_for(state="detached")
    page.get_by_text("Tags, note, archive, delete").click()
    page.locator("#run-tags :is(input, textarea)").fill("first, try")
    page.locator("#save-label").click()
    page.locator("#run-label").get_by_text("try").wait_for()
    page.locator("#delete-run").click()
    page.get_by_text("To delete this run with its adapters, type its id").first.wait_for()
    page.locator("#delete-id input, #delete-id textarea").fill(first.id)
    page.locator("#delete-run").click()
    wait_until(lambda: [run.id for run in store.runs()] == [second.id], page)
