"""The Evaluate tab in a browser: a file of prompts is answered, read, opened in the Data tab and downloaded."""

import csv

import pytest

from core.data import subset, table
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore
from core.runs.config import QLoRAConfig
from core.runs.store import Label, RunState
from tests.helpers.board_evaluations import PROMPTS, board_evaluation, duplicate
from tests.helpers.browser_pages import open_page, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MARKUP = "<img src=x onerror=\"document.title='owned'\"> What is this?"


@pytest.fixture
def page(chromium, server):
    made = open_page(chromium, server, "Evaluate")
    yield made
    assert made.errors == []
    assert made.title() == "QLoRA Studio"
    made.close()


def test_evaluate_file_of_prompts_can_be_read_opened_and_downloaded(page, server, tmp_path):
    store = EvaluationStore(server.settings)
    page.get_by_text("No run has an adapter yet").wait_for()
    page.get_by_text("No evaluation yet").wait_for()
    assert not page.locator("#evaluate-page-next").is_visible()
    assert not page.locator("#evaluate-download").is_visible()
    page.locator("#evaluate-start").click()
    page.get_by_text("no run is named whose held-out rows could be used").wait_for()
    assert store.all() == []
    (tmp_path / "list.txt").write_text(f"{MARKUP}\nName a color.\n")
    page.get_by_label("A file of prompts").click()
    page.locator("#evaluate-upload input[type=file]").set_input_files(tmp_path / "list.txt")
    page.locator("#evaluate-upload .file-preview").wait_for()
    page.locator("#evaluate-field-max_new_tokens input").fill("5")
    page.locator("#evaluate-start").click()
    page.locator("#evaluate-status").get_by_text("finished").wait_for()
    (evaluation,) = store.all()
    assert (evaluation.config().file, evaluation.config().max_new_tokens) == ("list.txt", 5)
    page.locator("#evaluate-table tbody tr", has_text="Name a color.").click()
    page.locator("#evaluate-prompt").get_by_text(evaluation.answers().read(1)[0]["text"].strip()).wait_for()
    # The drawer lies over the page until it is closed.
    page.keyboard.press("Escape")
    page.locator("#evaluate-answers[data-open=false]").wait_for(state="attached")
    page.locator("#evaluate-kind input").click()
    page.get_by_role("option", name="csv").click()
    with page.expect_download() as got:
        page.locator("#evaluate-download").click()
    with open(got.value.path(), newline="") as stream:
        assert [row["prompt"] for row in csv.DictReader(stream)] == [MARKUP, "Name a color."]
    page.set_viewport_size({"width": 390, "height": 844})
    wide, shown = page.locator("#evaluate-table .dt-wrap").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide <= shown, "a row is a card"
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator("#evaluate-open").click()
    page.locator("#rows").get_by_text("Name a color.").wait_for()
    assert wait_until(lambda: any(d.source.name.startswith("answers-") for d in table.opened_datasets(server.settings)))
    page.get_by_role("tab", name="Evaluate").click()
    page.locator("#evaluate-more button").first.click()
    page.locator("#evaluate-delete-id textarea, #evaluate-delete-id input").fill(evaluation.id)
    page.locator("#evaluate-delete").click()
    page.get_by_text("No evaluation yet").wait_for()
    assert store.all() == []


def test_verdict_leads_to_an_answer_its_training_rows_and_the_next_run(page, server, tmp_path):
    store = EvaluationStore(server.settings)
    parent, child = (store.runs.create(QLoRAConfig()) for _ in range(2))
    for run, name in ((parent, "before"), (child, "after")):
        run.save_state(RunState(status="finished", created=1.0, ended=2.0))
        run.save_label(Label(name=name))
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
    duplicate(child, parent)
    lanes, text = {"base": 2.0, parent.id: 1.5, child.id: 1.2}, "Ahoy! Trim the wick of the lamp at dusk."
    evaluation = board_evaluation(store, tmp_path, lanes, text=text)
    words = text.split()
    losses = [[float(lane) for _ in words] for lane in range(len(lanes))]
    read = {"tokens": words, "losses": losses, "cut": False, "note": ""}
    LineWriter(evaluation.lens_file).write(
        [{"prompt": prompt, "lane": lane, **read} for prompt in range(PROMPTS) for lane in range(len(lanes))]
    )
    page.locator("#evaluate-verdict").get_by_text("after compared with before").wait_for()
    page.locator("#evaluate-board button").first.click()
    page.locator("#board-table tbody tr", has_text="copy of before").locator("input").click()
    page.locator("#board-table tbody tr").first.locator("input").click()
    page.locator("#board-pair").get_by_text("after beside before: Better: loss on the reference fell").wait_for()
    page.locator("#evaluate-table tbody tr").first.click()
    page.locator("#evaluate-marks").get_by_label("Likelihood").click()
    # The tuned model finds each token less likely by one nat, so all of them are colored.
    page.locator("#evaluate-prompt .lens-less1").nth(len(words) - 1).wait_for()
    page.locator("#evaluate-rows-search").click()
    page.locator("#evaluate-rows tbody tr[data-event]").first.click()
    page.get_by_role("button", name="Exclude").wait_for()
    recipe = subset.find(server.settings, "keeper").recipe
    subset.create(server.settings, "mended", recipe.model_copy(update={"excluded": [3]}))
    page.get_by_role("tab", name="Evaluate").click()
    page.locator("#evaluate-again").click()
    page.locator("#copy-of").get_by_text("after").wait_for()
    assert wait_until(lambda: page.get_by_label("Subset").first.input_value().startswith("mended"), page)
