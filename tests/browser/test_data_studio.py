"""The Data tab in Chromium: search, sort, histograms, tokens, statistics, subsets, export and SQL."""

import json
import zipfile

import pytest

from core.data import subset
from tests.helpers.browser_pages import wait_for_position, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def server(file_server):
    return file_server


def rows(page) -> list[int]:
    """Return the numbers of the rows on the page."""
    return [int(value) for value in page.locator("#rows tbody tr[data-value]").evaluate_all(
        "rows => rows.map(row => row.dataset.value)")]  # fmt: skip


def open_tool(page, name: str) -> None:
    """Select a tab of the pane beside the rows."""
    page.locator("#data-tools").get_by_role("tab", name=name).click()


def test_rows_can_be_searched_sorted_filtered_and_paged(page):
    search = page.locator("#search input, #search textarea").first
    search.press_sequentially("TIDE", delay=20)
    page.locator("#search-count").get_by_text("28 of 340").wait_for()
    page.locator("#rows mark").first.wait_for()
    search.fill("")
    search.press("End")
    search.press("Backspace")
    wait_for_position(page, "of 340")

    page.locator("#rows .dt-name", has_text="characters").click()
    page.locator("#rows .dt-name", has_text="characters ↑").wait_for()
    ascending = rows(page)
    page.locator("#rows .dt-name", has_text="characters").click()
    page.locator("#rows .dt-name", has_text="characters ↓").wait_for()
    wait_until(lambda: rows(page) != ascending, page)

    page.locator("#rows th", has_text="turns").locator(".dt-bar[data-event]").last.click()
    page.locator(".dt-chip").wait_for()
    wait_until(lambda: "of 340" not in page.locator("#page-position").inner_text(), page)
    page.locator(".dt-chip").click()
    wait_for_position(page, "of 340")
    page.locator("#page-size input").click()
    page.get_by_role("option", name="500").click()
    wait_for_position(page, "rows 1 to 340 of 340")
    assert len(rows(page)) == 340


def test_row_opened_by_keyboard_shows_conversation_tokens_and_raw_text(page):
    # The first row is open from the start.
    page.locator("#row-shown .qs-turn.assistant").first.wait_for()
    page.locator("#rows tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#row-title").get_by_text("Row 1").wait_for()
    page.keyboard.press("ArrowDown")
    page.locator("#row-title").get_by_text("Row 2").wait_for()
    page.locator("#row-next").press("Enter")
    page.locator("#row-title").get_by_text("Row 3").wait_for()
    wait_until(lambda: page.locator("#rows tr.open").get_attribute("data-value") == "3", page)
    page.locator("#row-view label", has_text="Tokens").click()
    page.locator("#row-shown .qs-tokens .loss").first.wait_for()
    assert "<|im_end|>" in page.locator("#row-shown .qs-tokens .loss").last.inner_text()
    open_tool(page, "Token statistics")
    page.locator("#stats-length input").fill("20")
    page.locator("#stats-length input").press("Tab")
    page.locator("#rows tbody tr").nth(5).click()
    page.locator("#row-shown .cut").wait_for()
    page.locator("#row-view label", has_text="Raw").click()
    assert json.loads(page.locator("#row-shown .qs-raw").inner_text())["text"].startswith("### Human:")


def test_link_opens_its_row_on_its_page_of_the_table(page, server):
    page.locator("#row-title a").wait_for()
    link = page.locator("#row-title a").get_attribute("href")
    page.goto(f"{server.url}/{link.replace('row=0', 'row=207')}", wait_until="domcontentloaded")
    wait_for_position(page, "rows 201 to 225 of 340")
    page.locator("#row-title").get_by_text("Row 207").wait_for()
    wait_until(lambda: page.locator("#rows tr.open").get_attribute("data-value") == "207", page)


def test_token_statistics_show_progress_and_add_a_column(page):
    open_tool(page, "Token statistics")
    page.locator("#count-tokens").click()
    page.locator("#counting").get_by_text("Counting tokens").wait_for()
    page.locator("#numbers svg").wait_for()
    page.locator("#rows .dt-name", has_text="tokens").first.wait_for()
    page.locator("#find-near").click()
    page.get_by_text("Near duplicates").first.wait_for()


def test_subset_of_picked_rows_contains_only_these(page, server):
    before = {found.name for found in subset.subsets(server.settings)}
    for index in (2, 5):
        page.locator("#rows tbody tr").nth(index).locator("input").check()
    open_tool(page, "Create subset")
    page.locator("#subset-field-method input").click()
    page.get_by_role("option", name="picked").click()
    page.locator("#recipe-words").get_by_text("2 rows picked by hand").wait_for()
    page.locator("#create-subset").click()
    (name,) = wait_until(lambda: {found.name for found in subset.subsets(server.settings)} - before, page)
    assert {row for _, row, _ in subset.stream(server.settings, name)} == {2, 5}


def test_quick_subset_in_llama2_format_can_be_downloaded(page, tmp_path):
    open_tool(page, "Create subset")
    page.locator("#recipe-file-box > button").click()
    page.locator("#quick-cut").click()
    open_tool(page, "Export")
    link = page.locator("#download a[download]").first
    link.wait_for()
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        texts = [json.loads(line)["text"] for line in archive.read("train.jsonl").splitlines()]
    assert len(texts) == 306
    assert all(text.startswith("<s>[INST] ") for text in texts)


def test_sql_shows_results_and_rejects_file_access(page):
    open_tool(page, "SQL")
    page.locator("#ask-sql").click()
    page.locator("#sql-rows").get_by_text("language").first.wait_for()
    editor = page.locator("#sql .cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT * FROM read_text('/etc/passwd')")
    page.locator("#ask-sql").click()
    page.get_by_text("is not allowed; the table is rows").first.wait_for()
