"""The reading that is kept with a dataset, the preview of the form, and the chips that open it."""

import gradio as gr
import pytest

from core.data import table
from studio.data.page_state import PageState, reading_on_opening
from studio.data.reading_form import ReadingForm
from studio.data.reading_preview import preview
from studio.data.reading_widgets import FIELDS
from studio.data.summary import summary_html
from tests.helpers.datasets import open_dataset

FORM = dict.fromkeys(FIELDS, "") | {"reasoning": "think"}


@pytest.fixture
def do(settings, jobs):
    return ReadingForm(settings, jobs)


def values_of(updates: dict) -> dict:
    """Return the values that updates of the form set."""
    return {name: update["value"] if isinstance(update, dict) else update for name, update in updates.items()}


def read(do, state, **values):
    """Apply the form and return the page's new state."""
    *_, last = do.read_again(state, **FORM | values)
    return last["state"]


@pytest.fixture
def films(settings, tmp_path):
    rows = [{"text": f"a film of number {i} and length", "label": i % 2} for i in range(40)]
    return PageState(dataset=open_dataset(settings, tmp_path, rows).id).model_dump()


def test_numbered_labels_are_listed_to_be_named_and_previewed(do, settings, films):
    filled = values_of(do.fields(films))
    assert filled["labels"] == "0 = \n1 = "
    assert "negative" not in preview(settings, films, **filled)["preview"]
    assert "negative" in preview(settings, films, **filled | {"labels": "0 = negative\n1 = "})["preview"]
    for wrong, why in (
        ({"labels": "0"}, "expected lines"),
        ({"columns": "text = nope"}, "nope"),
        ({"format": None}, ""),
    ):
        shown = preview(settings, films, **filled | wrong)["preview"]
        assert why in shown
        assert "assistant" not in shown
    state = read(do, films, **filled | {"labels": "0 = negative\n1 = "})
    rows = PageState.model_validate(state).open_rows(settings)
    assert [rows.row(i)["messages"][1]["content"] for i in (0, 1)] == ["negative", "1"]


def test_applied_reading_is_kept_for_new_pages_until_the_detected_one_is_applied(do, settings, films, toasts):
    dataset, detected = films["dataset"], values_of(do.fields(films))
    assert reading_on_opening(settings, dataset) is None
    *_, last = do.read_again(films, **FORM | detected | {"labels": "0 = bad\n1 = good"})
    assert last["form_box"] == gr.update(open=False)
    assert "40 of 40 rows are usable" in toasts[-1]
    assert reading_on_opening(settings, dataset).labels == {"0": "bad", "1": "good"}
    # Nothing is usable: the form stays open.
    *_, last = do.read_again(films, **FORM | {"format": "messages", "columns": "messages = text"})
    assert last["form_box"] == gr.update(open=True)
    read(do, films, **detected)
    assert reading_on_opening(settings, dataset) is None


def test_kept_reading_stays_when_the_dataset_is_imported_again(do, settings, tmp_path, films):
    read(do, films, **values_of(do.fields(films)) | {"labels": "0 = bad\n1 = good"})
    about = table.folder(settings, films["dataset"]) / "about.json"
    about.write_text(about.read_text().replace(f'"layout": {table.LAYOUT}', f'"layout": {table.LAYOUT - 1}'))
    rows = [{"text": f"a film of number {i} and length", "label": i % 2} for i in range(40)]
    assert open_dataset(settings, tmp_path, rows).id == films["dataset"]
    assert f'"layout": {table.LAYOUT}' in about.read_text()
    assert reading_on_opening(settings, films["dataset"]).labels == {"0": "bad", "1": "good"}


def test_kept_reading_of_another_version_is_reported(settings, films, toasts):
    path = table.folder(settings, films["dataset"]) / table.READING_FILE
    path.write_text('{"format": "no such format"}')
    assert reading_on_opening(settings, films["dataset"]) is None
    assert "read as detected" in toasts[-1]


def test_chip_that_names_a_field_opens_it(settings, films):
    assert 'data-box="reading" data-opens="reading-field-prompt"' in summary_html(settings, films)
