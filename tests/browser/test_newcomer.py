"""The whole loop in Chromium with the embedded model: browse, subset, train, chat with both models."""

import re
import time
import zipfile

import psutil
import pytest

from core.runs.progress import progress
from core.runs.store import ACTIVE, RunStore
from tests.helpers.browser_pages import TIMEOUT_SECONDS, open_page, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VOICE = re.compile(r"\b(ahoy|aye|ye|yer|'tis|lamp|o'|an')", re.IGNORECASE)
QUESTION = "How do I keep houseplants alive in winter?"


def shown_step(page) -> int:
    text = page.locator("#run-tiles").inner_text()
    found = re.search(r"(\d+) / \d+", text)
    return int(found.group(1)) if found else 0


def count_curve_points(page) -> int:
    """Return how many points the line of the loss curve has."""
    lines = page.locator("#loss-chart path.curve").evaluate_all("paths => paths.map(p => p.getAttribute('d') || '')")
    return max((line.count("L") + 1 for line in lines if line), default=0)


@pytest.fixture
def server(real_server):
    return real_server


@pytest.fixture
def kill_runs(server):
    yield
    for run in RunStore(server.settings).runs():
        if run.saved_state().process_lives():
            psutil.Process(run.saved_state().pid).kill()


def browse_rows(page):
    page.locator("#page-next").click()
    page.get_by_text("rows 26 to 50 of").wait_for()
    page.locator("#rows tbody tr").nth(2).click()
    page.locator("#row-shown .qs-turn.assistant").first.wait_for()
    page.locator("#row-view label", has_text="Tokens").click()
    page.locator("#row-shown .loss").first.wait_for()
    page.locator("#row-view label", has_text="Raw").click()
    page.locator("#row-shown .qs-raw").wait_for()


def create_and_download_subset(page, tmp_path):
    page.locator("#show-create").click()
    page.locator("#subset-field-rows input").fill("200")
    page.locator("#subset-field-rows input").press("Tab")
    name = page.locator("#subset-name textarea, #subset-name input")
    wait_until(lambda: name.input_value() == "keeper-200", page)
    page.locator("#create-subset").click()
    page.get_by_text("Created keeper-200").wait_for()
    page.locator("#data-tools").get_by_role("tab", name="Export").click()
    page.locator("#subset-words").get_by_text("200 rows to train on").wait_for()
    page.locator("#export").click()
    link = page.locator("#download a[download]").first
    link.wait_for()
    with page.expect_download() as download:
        link.click()
    path = tmp_path / "export.zip"
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {
            "train.jsonl", "train.parquet", "test.jsonl", "test.parquet", "recipe.json", "README.md"
        }  # fmt: skip
        lines = archive.read("train.jsonl").decode().splitlines()
    assert len(lines) == 200
    assert lines[0].startswith('{"text": "<s>[INST] ')


def ask_both_models(page):
    """Ask base and tuned model; return their texts while they are written, and at the end."""
    page.get_by_role("tab", name="Chat").click()
    wait_until(lambda: "final" in page.locator("#lane-step-2").inner_text(), page)
    page.locator("#prompt textarea").fill(QUESTION)
    page.locator("#send").click()
    lanes = page.locator("#chat-now .lb-card")
    wait_until(lambda: lanes.filter(has_text="writing").count() == 2, page)
    early = lanes.locator(".lb-text").all_inner_texts()
    page.locator("#chat-now .lb-vote").wait_for()
    return early, lanes.locator(".lb-text").all_inner_texts()


@pytest.mark.timeout(6 * TIMEOUT_SECONDS)
def test_newcomer_gets_a_tuned_model_that_answers_differently(server, chromium, tmp_path, kill_runs, record_property):
    page = open_page(chromium, server)
    browse_rows(page)
    create_and_download_subset(page, tmp_path)

    page.get_by_role("tab", name="Train").click()
    page.get_by_text("No run yet").wait_for()
    assert page.locator("#preset input").input_value() == "Quick demo"
    assert page.locator("#train-field-subset input").input_value().startswith("keeper-200")
    # The bar does not offer what is chosen already.
    page.locator("#journey .jb-do", has_text="Train on it").wait_for(state="hidden")
    clicked = time.time()
    page.locator("#start").click()
    wait_until(lambda: shown_step(page) >= 1, page)
    record_property("seconds to first point on the page", round(time.time() - clicked, 1))
    first = shown_step(page)
    wait_until(lambda: shown_step(page) >= first + 2, page)
    wait_until(lambda: count_curve_points(page) >= first + 1, page)

    store = RunStore(server.settings)
    (run,) = store.runs()
    before = shown_step(page)
    # A second Start is queued behind the run.
    page.locator("#start").click()
    page.locator("#queue").get_by_text("Queue:").wait_for()
    page.locator("#run-status .queued").wait_for()
    page.locator("#stop").click()
    page.locator("#run-status .stopped").wait_for()
    assert [found.state().status for found in store.runs()] == ["stopped", "running"]
    assert page.errors == []
    # The run must continue without its page and without the server.
    page.close()
    server.kill()
    wait_until(lambda: progress(run.events()).step >= before + 3)
    server.start()

    page = open_page(chromium, server, "Train")
    wait_until(lambda: shown_step(page) > before, page)
    assert page.locator("#run-status").get_by_text("running").is_visible()
    # Without a page the run has all cores to itself.
    page.close()
    state = wait_until(lambda: run.state().status not in ACTIVE and run.state(), timeout=3 * TIMEOUT_SECONDS)
    assert state.status == "finished", run.log_tail()
    record_property("seconds to finished adapter", round(state.ended - clicked, 1))
    page = open_page(chromium, server, "Train")
    page.locator("#run input").click()
    # The run that was stopped has the same name.
    page.get_by_role("option").filter(has_text="· finished").first.click()
    page.locator("#run-status").get_by_text("finished").wait_for()

    now = progress(run.events())
    record_property("held-out loss", f"{now.base_loss:.3f} -> {now.held_out_loss:.3f}")
    assert now.held_out_loss <= 0.75 * now.base_loss

    early, (base, tuned) = ask_both_models(page)
    assert all(early)
    assert base != tuned
    assert len(VOICE.findall(tuned)) >= 3
    assert len(VOICE.findall(tuned)) > len(VOICE.findall(base))
    assert page.errors == []
    page.close()
