"""The Data tab, clicked: search, sort, bars, tokens, numbers, subsets, export, SQL, all in the real page."""

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
    return [int(value) for value in page.locator("#rows tbody tr[data-value]").evaluate_all(
        "rows => rows.map(row => row.dataset.value)")]  # fmt: skip


def tool(page, name: str) -> None:
    page.locator("#data-tools").get_by_role("tab", name=name).click()


def test_search_sort_bars_and_pages(page):
    search = page.locator("#search input, #search textarea").first
    search.press_sequentially("TIDE", delay=20)
    wait_until(lambda: "of 340" not in page.locator("#page-position").inner_text(), page)
    assert rows(page)
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


def test_a_row_is_read_by_keyboard_as_conversation_tokens_and_text(page):
    first = page.locator("#rows tbody tr").first
    first.focus()
    page.keyboard.press("Enter")
    page.locator("#row-shown .qs-turn.assistant").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#row-shown").get_by_text("Row 1").wait_for()
    page.locator("#row-view label", has_text="Tokens").click()
    page.locator("#row-shown .qs-tokens .loss").first.wait_for()
    assert "<|im_end|>" in page.locator("#row-shown .qs-tokens .loss").last.inner_text()
    page.locator("#lens-length input").fill("20")
    page.locator("#lens-length input").press("Tab")
    page.locator("#rows tbody tr").nth(3).click()
    page.locator("#row-shown .cut").wait_for()
    page.locator("#row-view label", has_text="Raw").click()
    assert json.loads(page.locator("#row-shown .qs-raw").inner_text())["text"].startswith("### Human:")


def test_numbers_are_counted_with_a_bar_and_then_filter(page):
    page.locator("#count-tokens").click()
    page.locator("#counting").get_by_text("Counting tokens").wait_for()
    page.locator("#numbers svg").wait_for()
    page.locator("#rows .dt-name", has_text="tokens").first.wait_for()
    page.locator("#find-near").click()
    page.get_by_text("Near duplicates").first.wait_for()


def test_rows_are_picked_and_cut(page, server):
    before = {known.name for known in subset.subsets(server.settings)}
    for place in (2, 5):
        page.locator("#rows tbody tr").nth(place).locator("input").check()
    tool(page, "Cut")
    page.locator("#field-method input").click()
    page.get_by_role("option", name="picked").click()
    page.locator("#recipe-words").get_by_text("2 rows picked by hand").wait_for()
    page.locator("#cut").click()
    (name,) = wait_until(lambda: {known.name for known in subset.subsets(server.settings)} - before, page)
    assert {row for _, row, _ in subset.stream(server.settings, name)} == {2, 5}


def test_one_click_makes_llama2_rows_and_the_zip_is_there(page, tmp_path):
    tool(page, "Cut")
    page.locator("#quick-cut").click()
    tool(page, "Export")
    link = page.locator("#download a[download]").first
    link.wait_for()
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        texts = [json.loads(line)["text"] for line in archive.read("train.jsonl").splitlines()]
    assert len(texts) == 306
    assert all(text.startswith("<s>[INST] ") for text in texts)


def test_sql_answers_and_refuses_in_words(page):
    tool(page, "SQL")
    page.locator("#ask-sql").click()
    page.locator("#sql-rows").get_by_text("language").first.wait_for()
    editor = page.locator("#sql .cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT * FROM read_text('/etc/passwd')")
    page.locator("#ask-sql").click()
    page.get_by_text("is not allowed; the table is rows").first.wait_for()
