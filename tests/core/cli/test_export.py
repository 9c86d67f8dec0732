"""The command `python -m core export`: each form's file and the lines that it prints, and options that do not apply."""

import importlib.util
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

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


def test_combination_is_exported_with_how_engines_serve_it(ok, home, run, small_tokenizer):
    other = write_tiny_run(home, small_tokenizer)
    options = ("--form", "combined", "--also", f"{other.id}=0.5", "--check-rows", "1")
    file, note, compared, *served = ok("export", run.id, *options).splitlines()
    assert file.split(" (")[0].endswith("-combined.zip")
    assert file.endswith("an adapter for tiny")
    assert note.startswith("Compared with this run's adapter alone")
    assert "KL divergence" in compared
    assert [line.split(":")[0] for line in served] == ["With vLLM", "With SGLang", "With TGI"]
    assert "--max-lora-rank 8 " in served[0]


def test_export_of_several_types_prints_their_table(ok, run):
    options = ("--form", "gguf", "--quantization", "Q8_0", "--quantization", "Q4_0", "--check-rows", "2")
    lines = ok("export", run.id, *options).splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("type "))
    assert lines[head].split("  ")[-1] == "loss difference (95 %)"
    assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["Q8_0", "Q4_0"]
    assert "is the smallest file with hardly any difference from the model as trained" in lines[head + 3]
    assert lines[head + 4].endswith("-types.zip has their comparison.")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--form", "gguf", "--quantization", "Q8_0", "--quantization", "Q8_0"], "GGUF type lists Q8_0 twice"),
        (["--form", "gguf", "--quantization", "Q7_0"], "Q7_0"),
        (["--form", "gguf", "--dtype", "float32"], "Number format does not apply to the form gguf"),
        (["--form", "merged", "--adapter", "step 9"], "has no adapter 'step 9'"),
        (["--form", "merged", "--also", "other=0"], "has the weight '0'"),
        (["--also", "other"], "or choose the form combined"),
        (["--form", "combined"], "Combine with is empty"),
        (["--strength", "9", "--form", "gguf"], "--strength must be at most 4"),
    ],
)
def test_option_that_cannot_be_used_is_refused(run_command, run, words, reason):
    code, _, err = run_command("export", run.id, *words)
    assert code
    assert reason in err
    assert "Traceback" not in err


def test_export_is_signed_with_a_key_that_was_read_before(run_command, ok, run, tmp_path):
    code, _, err = run_command("export", run.id, "--sign", str(tmp_path / "none.pem"))
    assert code == 2
    if importlib.util.find_spec("model_signing") is None:
        assert "pip install -r requirements-signing.txt" in err
        return
    assert "Make one: openssl ecparam" in err
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    *_, signed = ok("export", run.id, "--sign", str(tmp_path / "key.pem")).splitlines()
    assert signed.endswith("-adapter.zip.sig: its signature")
