"""The list of exported files on the page: hostile names, the limit of the list, and the deletion."""

import pytest

from core.errors import StudioError
from studio import export_files
from studio.export_files import ExportFiles
from tests.helpers.hostile_text import ParsedHtml


def test_list_shows_files_and_deletes_one(settings, toasts, monkeypatch):
    do = ExportFiles(settings)
    assert do.show()["files"].strip() == ""
    for name in ("a.gguf", 'b"><img src=x>.zip', "c.zip"):
        (settings.exports_dir / name).write_bytes(b"12345")
    page = ParsedHtml(do.show()["files"])
    assert "img" not in {tag for tag, _ in page.tags}
    assert "3 files, 15 bytes" in page.text
    assert "a.gguf" not in do.delete("a.gguf")["files"]
    assert "5 bytes were freed" in toasts[0]
    with pytest.raises(StudioError, match="any more"):
        do.delete("a.gguf")
    monkeypatch.setattr(export_files, "_MAX_LISTED", 1)
    assert "1 older file is not listed" in do.show()["files"]
