"""The commands `python -m core adapters`: import, list, ask and remove."""

import zipfile

import pytest

from tests.helpers.exports import write_tiny_run


@pytest.fixture
def archive(home, small_tokenizer, tmp_path):
    run = write_tiny_run(home, small_tokenizer)
    path = tmp_path / "lora.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in run.adapter.iterdir():
            packed.write(file, f"lora/{file.name}")
    return path


def test_adapter_is_imported_listed_asked_and_removed(ok, run_command, archive):
    exact = ("--quantization", "none", "--compute-dtype", "float32")
    added, ask = ok("adapters", "add", archive, "--base", "tiny", *exact).splitlines()
    assert added == "lora: LoRA of rank 4 from lora.zip, on tiny · unquantized · float32"
    assert ask == 'Ask it: python -m core chat lora "A question"'
    assert ok("adapters", "list").strip() == added
    code, answers, _ = run_command("chat", "lora", "Hello?", "--max-new-tokens", "3")
    assert code == 0
    assert "[tuned: 3 tokens" in answers
    ok("adapters", "remove", "lora")
    assert ok("adapters", "list") == ""
    code, _, err = run_command("adapters", "add", "missing.zip")
    assert (code, err.strip()) == (
        2, "There is no file 'missing.zip'. Name a ZIP of an adapter's folder, or a Hub id.",
    )  # fmt: skip
    code, _, err = run_command("adapters", "remove", "lora")
    assert (code, err.strip()) == (2, "There is no imported adapter 'lora'. There are: none yet.")
