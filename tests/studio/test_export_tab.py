"""The Export tab: which runs it lists, and the file that it writes."""

import shutil
import zipfile
from pathlib import Path

import pytest

from core.access import roles
from core.access.roles import Caller, Role
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
    assert all(shown[name]["info"] for name in ("run", "adapter", "also")), "an empty list says why"
    assert shown["download"]["interactive"] is False


def test_tab_lists_runs_with_adapters_and_writes_the_chosen_one(do, a_run):
    a_run()
    example.install(Settings(home=do.settings.home, example=True))
    shown = do.refresh_list("a run that is gone")
    assert shown["run"]["value"] == example.EXAMPLE_RUN
    assert shown["adapter"]["choices"][0] == shown["adapter"]["value"] == "final"
    assert shown["download"]["interactive"] is True
    with roles.acting(Caller(Role.VISITOR, "x")):
        seen = do.refresh_list(None)
        assert seen["download"]["interactive"] is False, "the download is the owner's"
        assert "Only the owner can download it." in seen["about"]
    assert "rank 4" in shown["about"]
    assert "--enable-lora --max-lora-rank 8 --lora-modules" in shown["about"]
    assert shown["also"]["choices"] == [], "no other run has an adapter"
    with zipfile.ZipFile(do.write(example.EXAMPLE_RUN, "step 64")) as archive:
        assert archive.testzip() is None
        names = [Path(name).name for name in archive.namelist()]
    about = do.describe(example.EXAMPLE_RUN, "step 64")["about"]
    assert "step 64" in about
    assert all(name in about for name in names), "the page lists exactly what the file holds"


def test_newer_result_replaces_the_run_that_the_page_proposed_and_no_other(do, a_run):
    example.install(Settings(home=do.settings.home, example=True))
    first = do.refresh_list(None)
    assert first["proposed"] == example.EXAMPLE_RUN
    own = a_run()
    shutil.copytree(example.FOLDER / "adapter", own.adapter)
    then = do.refresh_list(example.EXAMPLE_RUN, "final", first["proposed"])
    assert (then["run"]["value"], then["proposed"]) == (own.id, own.id)
    chosen = do.refresh_list(example.EXAMPLE_RUN, "step 64", own.id)
    assert (chosen["run"]["value"], chosen["proposed"]) == (example.EXAMPLE_RUN, "")
    assert chosen["adapter"]["value"] == "step 64", "the checkpoint that was chosen"
    assert "step 64" in chosen["about"]


def test_run_whose_adapters_were_deleted_meanwhile_is_refused(do, a_run):
    run = a_run()
    with pytest.raises(StudioError, match="has no adapter any more"):
        do.list_adapters(run.id)


def test_write_without_a_choice_is_refused(do):
    with pytest.raises(StudioError):
        do.write(None, None)
