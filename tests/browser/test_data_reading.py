"""The reading form of the Data tab: the question if no format is certain, and the use of unread columns."""

import pytest

from tests.helpers.browser_pages import wait_for_position
from tests.helpers.datasets import json_lines
from tests.helpers.public_shapes import SHAPES

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def server(file_server):
    return file_server


@pytest.fixture
def upload(page, tmp_path):
    """Upload the rows of a public dataset five times over, because a page waits for 25 rows of the newest set."""

    def run(name: str) -> None:
        rows = 5 * next(shape.rows for shape in SHAPES if shape.name == name)
        path = tmp_path / "rows.jsonl"
        path.write_text(json_lines(rows))
        page.locator("#open-data").click()
        page.locator("#upload input[type=file]").set_input_files(path)
        wait_for_position(page, f"of {len(rows)},")

    return run


def test_reading_question_answered_makes_rows_usable(page, upload):
    upload("lmsys/mt_bench_prompts")
    page.locator("#question-words").get_by_text("list of texts").wait_for()
    page.locator("#data-summary").get_by_text("0 usable").wait_for()
    page.locator("#data-tools").get_by_role("tab", name="Create subset").click()
    page.locator("#create-subset").click()
    page.get_by_text("cannot be used yet").first.wait_for()
    page.locator("#read-choice").click()
    page.locator(".toast-body").get_by_text("No format is chosen").first.wait_for()
    page.locator("#question-choices label").first.click()
    page.wait_for_function("document.querySelector('#reading-field-columns textarea').value === 'messages = prompt'")
    page.locator("#read-choice").click()
    page.locator("#data-summary").get_by_text("30 usable").wait_for()
    page.locator("#reading-question").wait_for(state="hidden")
    page.locator("#rows tbody tr").first.click()
    page.locator("#row-shown .qs-turn.assistant").get_by_text("Rewrite it.").wait_for()
    page.locator("#row-shown").get_by_text("the column 'category' is not used").wait_for()


def test_column_used_as_context_is_in_the_conversation(page, upload):
    upload("databricks-dolly-15k")
    page.locator("#column-uses").get_by_text("1 column not used").wait_for()
    page.locator("#rows tbody tr").first.click()
    page.locator("#row-shown").get_by_text("the column 'category' is not used").wait_for()
    apply = page.locator("#column-uses .cl-apply")
    assert not apply.is_visible()
    page.locator("#column-uses select").select_option("context")
    apply.click()
    page.locator("#row-shown .qs-turn.user").get_by_text("closed_qa").wait_for()
    page.locator("#reading").get_by_text("kept with the dataset").wait_for()
    assert page.locator("#column-uses select").input_value() == "context"
    # The form closes once it has been applied.
    page.locator("#reading > .label-wrap").click()
    assert page.locator("#reading-field-extra textarea").input_value() == "category = context"
