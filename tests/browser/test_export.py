"""From a finished run to downloaded files that load elsewhere, and to a card that says the page's verdict."""

import json
import subprocess
import sys
import zipfile

import pytest
import torch

from tests.helpers.browser_pages import open_tab, wait_until
from tests.helpers.exports import write_tiny_run
from tests.helpers.fork_server import PROJECT

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def run(settings, small_tokenizer):
    """A finished run, whose base is not quantized: merged, it is the base with the adapter."""
    return write_tiny_run(settings, small_tokenizer, quantization="none")


@pytest.fixture
def studio(settings, run):
    """The home of the run, without the embedded model."""
    return settings


def download(page, button, folder):
    """Press a button that downloads a file, and return its path."""
    with page.expect_download() as started:
        page.locator(button).click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def unpack(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(path.parent)
    return path.with_suffix("")


def export(page, form, **settings):
    """Export the run in a form, and return the verdict of the page with its figures."""
    page.locator("#export-form-choice input").click()
    page.get_by_role("option", name=form, exact=True).click()
    # A form that is chosen hides the result of the one before.
    page.locator("#export-result .ex-verdict").wait_for(state="detached")
    for name, value in settings.items():
        page.locator(f"#export-field-{name} input").fill(str(value))
    page.locator("#export-start").click()
    page.locator("#export-result .ex-verdict").wait_for()
    return page.locator("#export-result").inner_text()


def load_elsewhere(*arguments, folder):
    program = PROJECT / "tests" / "helpers" / "load_exports.py"
    done = subprocess.run(
        [sys.executable, "-I", program, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_finished_run_becomes_zips_that_load_and_cards_with_the_verdict(page, run, settings, tmp_path):
    open_tab(page, "Export")
    wait_until(lambda: run.title in page.locator("#export-about").inner_text(), page)
    adapter = unpack(download(page, "#export-download", tmp_path))
    shown = export(page, "Merged model (safetensors)", check_rows=2)
    assert "It answers as it did here." in shown
    merged = unpack(download(page, "#export-file", tmp_path))
    found = load_elsewhere(settings.models_dir / "tiny", adapter, merged, "How deep is the sea?", folder=tmp_path)
    assert found["project"] == []
    base, tuned, whole = (torch.tensor(found[name]) for name in ("base", "adapter", "merged"))
    # The file is in bfloat16.
    torch.testing.assert_close(whole, tuned, rtol=0.02, atol=0.02)
    assert not torch.allclose(base, tuned, atol=0.05)
    readme = (merged / "README.md").read_text()
    assert "It answers as it did here. The most likely next token is the same" in readme

    shown = export(page, "GGUF", check_rows=2)
    path = download(page, "#export-file", tmp_path)
    assert path.read_bytes()[:4] == b"GGUF"
    card = (settings.exports_dir / f"{path.stem}-card" / "README.md").read_text()
    verdict = page.locator("#export-result .ex-verdict").inner_text().strip()
    assert verdict in card
    assert f"{path.stem}-card" in shown
