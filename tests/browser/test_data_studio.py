"""The Data tab, clicked: search, sort, bars, tokens, numbers, subsets, export, SQL, uploads, all in the real page."""

import json
import zipfile

import pytest
from opened import lines, talk
from pages import open_page, until

from core.data import subset, table

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
def page(chromium, server):
    made = open_page(chromium, server)
    yield made
    assert made.errors == []
    assert made.title() == "QLoRA Studio"
    made.close()


def rows(page) -> list[int]:
    return [int(value) for value in page.locator("#rows tbody tr[data-value]").evaluate_all(
        "rows => rows.map(row => row.dataset.value)")]  # fmt: skip


def tool(page, name: str) -> None:
    page.locator("#data-tools").get_by_role("tab", name=name).click()


def position(page, text: str) -> None:
    page.locator("#page-position").get_by_text(text).wait_for()


def upload(page, path) -> None:
    page.locator("#open-upload button").first.click()
    page.locator("#upload input[type=file]").set_input_files(path)


def test_search_sort_bars_and_pages(page):
    search = page.locator("#search input, #search textarea").first
    search.press_sequentially("TIDE", delay=20)
    until(lambda: "of 340" not in page.locator("#page-position").inner_text(), page)
    assert rows(page)
    search.fill("")
    search.press("End")
    search.press("Backspace")
    position(page, "of 340")

    page.locator("#rows .dt-name", has_text="characters").click()
    page.locator("#rows .dt-name", has_text="characters ↑").wait_for()
    ascending = rows(page)
    page.locator("#rows .dt-name", has_text="characters").click()
    page.locator("#rows .dt-name", has_text="characters ↓").wait_for()
    until(lambda: rows(page) != ascending, page)

    page.locator("#rows th", has_text="turns").locator(".dt-bar[data-event]").last.click()
    page.locator(".dt-chip").wait_for()
    until(lambda: "of 340" not in page.locator("#page-position").inner_text(), page)
    page.locator(".dt-chip").click()
    position(page, "of 340")
    page.locator("#page-size input").click()
    page.get_by_role("option", name="500").click()
    position(page, "rows 1 to 340 of 340")
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
    for place in (2, 5):
        page.locator("#rows tbody tr").nth(place).locator("input").check()
    tool(page, "Cut")
    page.locator("#field-method input").click()
    page.get_by_role("option", name="picked").click()
    page.locator("#recipe-words").get_by_text("2 rows picked by hand").wait_for()
    page.locator("#cut").click()
    until(lambda: len(subset.subsets(server.settings)) == 2, page)
    made = subset.subsets(server.settings)[-1]
    assert {row for _, row, _ in subset.stream(server.settings, made.name)} <= {2, 5}


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
    page.get_by_text("The SQL failed: Permission Error").first.wait_for()


def test_a_hostile_file_is_shown_as_text(page, server, tmp_path):
    path = tmp_path / "hostile.jsonl"
    path.write_text(lines([{"messages": talk(MARKUP, MARKUP), MARKUP: MARKUP}] * 3) + MARKUP + "\n")
    upload(page, path)
    position(page, "of 4")
    page.locator("#rows tbody tr").first.click()
    page.locator("#row-shown .qs-turn.assistant").first.wait_for()
    for view in ("Tokens", "Raw"):
        page.locator("#row-view label", has_text=view).click()
        page.wait_for_function("document.querySelector('#row-shown').innerText.includes('onerror')")
    assert page.locator("#rows img, #row-shown img, #data-summary img").count() == 0


def test_labels_become_answers_by_a_template(page, server, tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("review,stars\n" + "".join(f"a film of number {i} and length,{i % 2}\n" for i in range(60)))
    upload(page, path)
    position(page, "of 60")
    page.get_by_text("How the rows are read").click()
    page.locator("#field-prompt textarea").fill("{text}\n\nGood or bad?")
    page.locator("#field-labels textarea").fill("1 = good\n0 = bad")
    page.locator("#read-again").click()
    page.get_by_text("as you said").wait_for()
    page.locator("#rows tbody tr").nth(1).click()
    page.locator("#row-shown .qs-turn.assistant").get_by_text("good").wait_for()


def test_opening_can_be_cancelled_and_leaves_nothing(page, server, tmp_path):
    path = tmp_path / "large.jsonl"
    with path.open("w") as stream:
        for i in range(150_000):
            stream.write(json.dumps({"prompt": f"question {i}", "completion": f"answer {i} and more of it"}) + "\n")
    before = len(table.opened_datasets(server.settings))
    upload(page, path)
    page.get_by_text("Opening large.jsonl").first.wait_for()
    page.locator("#opening-cancel").click()
    page.get_by_text("Nothing was left behind").first.wait_for()
    assert len(table.opened_datasets(server.settings)) == before
    assert [found.name for found in server.settings.datasets_dir.glob("large-*")] == []
