"""The command `python -m core export`: each form's file and the lines that it prints, and options that do not apply."""

from pathlib import Path

import pytest

from tests.helpers.exports import write_tiny_run


@pytest.fixture
def run(home, small_tokenizer):
    return write_tiny_run(home, small_tokenizer)


def test_export_prints_the_file_and_its_base(ok, home, run):
    for form, kind in (("adapter", "zip"), ("gguf-adapter", "gguf")):
        line, *card = ok("export", run.id, "--form", form).splitlines()
        path, _, rest = line.partition(" (")
        assert Path(path).parent == home.exports_dir
        assert Path(path).suffix == f".{kind}"
        assert rest.endswith("an adapter for tiny")
        assert len(card) == (form != "adapter")
        assert all(Path(text.partition(":")[0], "README.md").is_file() for text in card)


def test_export_of_a_merged_model_prints_the_comparison(ok, run):
    merged, card, compared = ok("export", run.id, "--form", "gguf", "--check-rows", "1").splitlines()
    assert merged.endswith("merged into tiny")
    assert card.endswith("-card: its card")
    assert "KL divergence" in compared


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--form", "gguf", "--dtype", "float32"], "Number format does not apply to the form gguf"),
        (["--form", "merged", "--adapter", "step 9"], "has no adapter 'step 9'"),
        (["--strength", "9", "--form", "gguf"], "--strength must be at most 4"),
    ],
)
def test_option_that_cannot_be_used_is_refused(run_command, run, words, reason):
    code, _, err = run_command("export", run.id, *words)
    assert code
    assert reason in err
    assert "Traceback" not in err
