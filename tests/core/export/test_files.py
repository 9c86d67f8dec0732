"""The list of exported files: what they hold by their names, what is left out, and the deletion of one."""

import os
import zipfile

import pytest

from core.cli import main
from core.errors import StudioError
from core.export.card.facts import folder_name
from core.export.config import FORMS, GGUF_TYPES, ExportConfig
from core.export.files import delete_file, describe_form, find_file, list_files, pack_card
from core.runs.exported import list_exports
from tests.helpers.exports import write_tiny_run


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("values", [{}, {"strength": 0.5}, {"base": "original"}])
def test_form_of_each_export_is_known_by_the_name_of_its_file(form, values):
    used = {name: value for name, value in values.items() if name in FORMS[form].settings}
    kinds = GGUF_TYPES if "quantization" in FORMS[form].settings else [None]
    for kind in kinds:
        config = ExportConfig(form=form, **used, **({"quantization": kind} if kind else {}))
        name = "x-final-adapter.zip" if form == "adapter" else config.file_name("x-final")
        assert describe_form(name) == FORMS[form].label


@pytest.mark.parametrize("form", ["gguf", "ollama"])
@pytest.mark.parametrize("values", [{}, {"importance_rows": 0}, {"base": "original", "strength": 0.5}])
def test_comparison_of_types_is_known_by_its_name(form, values):
    config = ExportConfig(form=form, quantization=["Q4_K_M", "Q8_0"], **values)
    assert describe_form(config.file_name("x-final")) == "Comparison of GGUF types"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("answers-20261129-held-out.csv", "Evaluation"), ("x-curves.csv", "Points of a run"),
        ("x-report.zip", "Report of a run"), ("keeper-messages.zip", "Subset"), ("smollm2-preferences.jsonl", "Votes"),
        ("notes.txt", "File"),
    ],
)  # fmt: skip
def test_other_files_have_their_kind(name, form):
    assert describe_form(name) == form


@pytest.fixture
def folder(settings):
    for name, made in (("old.gguf", 100), ("new-final-adapter.zip", 200), (".new.export-lock", 300)):
        (settings.exports_dir / name).write_bytes(b"12345")
        os.utime(settings.exports_dir / name, (made, made))
    (settings.exports_dir / "visitors").mkdir()
    (settings.exports_dir / "link").symlink_to(settings.home)
    return settings.exports_dir


def test_finished_files_are_listed_newest_first(settings, folder):
    assert [(file.name, file.size) for file in list_files(settings)] == [("new-final-adapter.zip", 5), ("old.gguf", 5)]


@pytest.mark.parametrize("name", ["../x", "visitors", ".new.export-lock", "link", "gone.zip", ""])
def test_what_is_not_listed_is_neither_found_nor_deleted(settings, folder, name):
    for refuses in (find_file, delete_file):
        with pytest.raises(StudioError):
            refuses(settings, name)
    assert len(list(folder.iterdir())) == 5


def test_card_beside_a_file_is_deleted_with_it(settings, folder):
    (folder / "old-card").mkdir()
    (folder / "old-card" / "README.md").write_text("card")
    assert delete_file(settings, "old.gguf") == 5
    assert not (folder / "old-card").exists()


def test_card_beside_a_file_is_downloaded_as_a_zip_and_is_no_export_to_push(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    name = f"{folder_name(run, 'final')}-Q8_0"
    path, card = settings.exports_dir / f"{name}.gguf", settings.exports_dir / f"{name}-card"
    path.write_bytes(b"12345")
    with pytest.raises(StudioError, match="has no card beside it"):
        pack_card(settings, path.name)
    card.mkdir()
    (card / "README.md").write_text("card")
    assert [file.has_card for file in list_files(settings)] == [True]
    with zipfile.ZipFile(pack_card(settings, path.name)) as archive:
        assert archive.namelist() == [f"{name}-card/README.md"]
    assert {file.name: file.form for file in list_files(settings)} == {path.name: "GGUF", f"{name}-card.zip": "Card"}
    assert list_exports(settings, run) == [path]
    delete_file(settings, path.name)
    assert list(settings.exports_dir.iterdir()) == []


def test_command_lists_and_deletes(settings, folder, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    assert main(["exports", "--delete", "old.gguf"]) == 0
    assert main(["exports"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Deleted old.gguf; 5 bytes were freed."
    assert printed[1].startswith("new-final-adapter.zip  Adapter (PEFT)  5 bytes  1970-01-01")
    assert len(printed) == 2
