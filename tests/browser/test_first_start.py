"""A fresh STUDIO_HOME in Chromium: the example run answers at once, the bar leads on, and axe finds no barrier."""

import time
import zipfile

import pytest
from axe_playwright_python.sync_playwright import Axe
from safetensors import safe_open
from transformers import AutoTokenizer

from core.runs import example
from core.runs.store import RunStore
from core.settings import Settings
from tests.helpers.browser_pages import open_page, open_tab, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("Data", "Train", "Chat", "Evaluate", "Export", "Owner")
EXAMPLE_FILES = "Example-lighthouse-keeper-b98522"
# Each theme and each size once; `make pictures` shows all four pairs.
VIEWS = (("light", 1440, 900), ("dark", 390, 844))


@pytest.fixture(scope="module")
def with_example(file_studio):
    example.install(Settings(home=file_studio.home, example=True))


@pytest.fixture
def server(with_example, file_server):
    return file_server


def test_example_answers_in_both_lanes_from_the_first_start(chromium, server, record_property):
    page = open_page(chromium, server)
    began = time.monotonic()
    bar = page.locator("#journey")
    assert "The example run can answer already" in bar.inner_text()
    bar.get_by_role("button", name="Chat with it").click()
    page.locator("#prompt textarea").fill("How do I keep houseplants alive in winter?")
    page.locator("#send").click()
    cards = page.locator("#chat-now .lb-card .lb-text")
    # Until its text begins, a card says what it waits for.
    page.locator("#chat-now .lb-wait").first.wait_for()
    wait_until(lambda: cards.count() == 2 and page.locator("#chat-now .lb-wait").count() == 0, page)
    record_property("seconds until both answers have begun", round(time.monotonic() - began, 1))
    page.locator("#chat-stop").click()
    page.locator("#chat-now .lb-vote").wait_for()
    base, tuned = cards.all_inner_texts()
    assert base != tuned
    bar.get_by_role("button", name="Train your own").click()
    page.locator("#start").wait_for()
    assert page.errors == []
    page.close()


def export_merged(page, folder):
    """Export the chosen run as a merged model, download it, and load its tokenizer and its tensors."""
    page.locator("#export-form-choice input").click()
    page.get_by_role("option", name="Merged model (safetensors)").click()
    page.locator("#export-field-check_rows input").fill("1")
    page.locator("#export-about").wait_for(state="hidden")
    page.locator("#export-start").click()
    page.locator("#export-progress").wait_for()
    page.locator("#export-result .ex-verdict").wait_for()
    assert "KL divergence, mean" in page.locator("#export-result").inner_text()
    with page.expect_download() as download:
        page.locator("#export-file").click()
    name = download.value.suggested_filename
    assert name == f"{EXAMPLE_FILES}-final-bfloat16.zip"
    download.value.save_as(folder / name)
    with zipfile.ZipFile(folder / name) as archive:
        archive.extractall(folder)
    unpacked = folder / name.removesuffix(".zip")
    assert "The most likely next token is the same" in (unpacked / "README.md").read_text()
    AutoTokenizer.from_pretrained(unpacked)
    with safe_open(unpacked / "model.safetensors", "pt") as file:
        assert len(list(file.keys())) == 272


def test_example_is_exported_and_deleted_for_good(chromium, server, tmp_path):
    page = open_page(chromium, server, "Export")
    page.locator("#export-about").get_by_text("Example: lighthouse keeper").wait_for()
    with page.expect_download() as download:
        page.locator("#export-download").click()
    assert download.value.suggested_filename == f"{EXAMPLE_FILES}-final-adapter.zip"
    export_merged(page, tmp_path)
    assert page.errors == []
    page.close()
    with RunStore(server.settings).lock():
        RunStore(server.settings).remove(RunStore(server.settings).run(example.EXAMPLE_RUN))
    page = open_page(chromium, server)
    page.locator("#journey").get_by_text("Nothing is trained yet.").wait_for()
    page.close()


# Whether no view has waited for an answer for a second; asked at each frame.
QUIET_FOR_A_SECOND = """() => {
    if (document.querySelector("[data-busy], .pending")) window.lastBusy = performance.now();
    return performance.now() - (window.lastBusy ||= performance.now()) > 1000;
}"""


@pytest.mark.parametrize(("theme", "width", "height"), VIEWS)
def test_no_tab_has_a_serious_barrier(chromium, server, theme, width, height):
    page = open_page(chromium, server, query=f"?__theme={theme}")
    page.set_viewport_size({"width": width, "height": height})
    found = []
    for tab in TABS:
        open_tab(page, tab)
        # A part that is loading says so; axe must see the tab filled.
        wait_until(lambda: "Loading" not in page.locator("body").inner_text(), page)
        # A view that waits for an answer is dimmed, and one answer may ask for the next.
        page.wait_for_function(QUIET_FOR_A_SECOND)
        result = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        for violation in result.response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found += [f"{tab}: {violation['help']}: {node['html'][:200]}" for node in violation["nodes"]]
    assert found == []
    page.close()
