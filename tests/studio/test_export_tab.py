"""The Export tab: which runs it lists, and the file that it writes."""

import zipfile

import pytest

from core.errors import StudioError
from core.runs import example
from core.settings import Settings
from studio.export_tab import ExportActions


@pytest.fixture
def do(runs):
    return ExportActions(runs)


def test_tab_without_an_adapter_says_so_and_offers_no_download(do, a_run):
    a_run()
    shown = do.refresh_list(None)
    assert shown["run"]["choices"] == []
    assert "No run has an adapter yet" in shown["about"]
    assert shown["download"]["interactive"] is False


def test_tab_lists_runs_with_adapters_and_writes_the_chosen_one(do, a_run):
    a_run()
    example.install(Settings(home=do.settings.home, example=True))
    shown = do.refresh_list("a run that is gone")
    assert shown["run"]["value"] == example.EXAMPLE_RUN
    assert shown["adapter"]["choices"][0] == shown["adapter"]["value"] == "final"
    assert "rank 4" in shown["about"]
    with zipfile.ZipFile(do.write(example.EXAMPLE_RUN, "step 64")) as archive:
        assert archive.testzip() is None


def test_write_without_a_choice_is_refused(do):
    with pytest.raises(StudioError):
        do.write(None, None)
