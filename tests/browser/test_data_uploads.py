"""Files uploaded in the Data tab: hostile text, a reading chosen by the user, and cancelling."""

import json

import pytest

from core.data import table
from tests.helpers.browser_pages import wait_for_position
from tests.helpers.datasets import dialog, json_lines

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
def server(real_server):
    return real_server


def upload(page, path) -> None:
    page.locator("#open-data").click()
    page.locator("#upload input[type=file]").set_input_files(path)


def test_upload_hostile_file_is_shown_as_text(page, server, tmp_path):
    path = tmp_path / "hostile.jsonl"
    path.write_text(json_lines([{"messages": dialog(MARKUP, MARKUP), MARKUP: MARKUP}] * 3) + MARKUP + "\n")
    upload(page, path)
    wait_for_position(page, "of 4")
    page.locator("#rows tbody tr").first.click()
    page.locator("#row-shown .qs-turn.assistant").first.wait_for()
    for view in ("Tokens", "Raw"):
        page.locator("#row-view label", has_text=view).click()
        page.wait_for_function("document.querySelector('#row-shown').innerText.includes('onerror')")
    assert page.locator("#rows img, #row-shown img, #data-summary img").count() == 0


def test_upload_text_with_labels_becomes_answers_by_a_template(page, server, tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("review,stars\n" + "".join(f"a film of number {i} and length,{i % 2}\n" for i in range(60)))
    upload(page, path)
    wait_for_position(page, "of 60")
    # No format is certain, so the page asks, and fills in the form with the chosen reading.
    page.locator("#question-words").get_by_text("'stars' may be").wait_for()
    page.locator("#question-choices label", has_text="text with a label").click()
    page.wait_for_function("document.querySelector('#reading-field-columns textarea').value.includes('stars')")
    page.locator("#reading-field-prompt textarea").fill("{text}\n\nGood or bad?")
    page.locator("#reading-field-labels textarea").fill("1 = good\n0 = bad")
    page.locator("#read-again").click()
    page.get_by_text("kept with the dataset").wait_for()
    page.locator("#rows tbody tr").nth(1).click()
    page.locator("#row-shown .qs-turn.assistant").get_by_text("good").wait_for()


def test_upload_cancelled_leaves_no_files(page, server, tmp_path):
    path = tmp_path / "large.jsonl"
    with path.open("w") as stream:
        for i in range(150_000):
            stream.write(json.dumps({"prompt": f"question {i}", "completion": f"answer {i} and more of it"}) + "\n")
    before = len(table.opened_datasets(server.settings))
    upload(page, path)
    page.get_by_text("Opening large.jsonl").first.wait_for()
    page.locator("#opening-cancel").click()
    page.get_by_text("No partial result was kept").first.wait_for()
    assert len(table.opened_datasets(server.settings)) == before
    assert [found.name for found in server.settings.datasets_dir.glob("large-*")] == []
