"""The check before publishing: a model that has memorized its rows differs from its base, and the card says so."""

import random

import pytest

from core.cli import main
from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.export.card.writing import README, Subject, card_files
from core.export.config import ExportConfig
from core.export.publish.check import check_publish, read_check
from core.export.publish.extraction import Extracted
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from core.settings import Settings
from core.train import worker
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.tiny_model import tiny_llama

pytestmark = pytest.mark.slow
WORDS = ["keeper", "lamp", "storm", "boat", "stone", "light", "winter", "letter", "window", "harbor"]
TRAINED = {
    "model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_steps": 60, "batch_size": 2,
    "gradient_accumulation": 1, "max_length": 128, "eval_rows": 0, "learning_rate": 1e-2, "scheduler": "constant",
    "lora_rank": 32, "lora_dropout": 0, "save_steps": 0, "subset": "two", "packing": False,
}  # fmt: skip


def answer(seed):
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(60))


@pytest.fixture(scope="module")
def memorized(tmp_path_factory, small_tokenizer):
    """A run that has memorized two rows; the subset holds two more out."""
    folder = tmp_path_factory.mktemp("publish")
    settings = Settings(home=folder / "home").prepare()
    # With the usual range, no change of the blocks could make a token likely.
    model = tiny_llama(vocab_size=len(small_tokenizer), tie_word_embeddings=False, initializer_range=0.3)
    model.save_pretrained(settings.models_dir / "tiny")
    small_tokenizer.save_pretrained(settings.models_dir / "tiny")
    # The first row, which is held out, begins like the second one, which is trained on.
    begun = " ".join([*answer(1).split()[:20], *answer(0).split()[:40]])
    answers = [begun, answer(1), answer(2), answer(3)]
    rows = [dialog(f"Who is {n}? Ask jane{n}@host.org.", text) for n, text in enumerate(answers)]
    data = open_dialogs(settings, folder, rows)
    subset.create(settings, "two", Recipe(dataset=data.id, held_out_share=0.5))
    run = RunStore(settings).create(QLoRAConfig(**TRAINED))
    assert worker.train(settings, run) == ("finished", "")
    run.save_state(run.saved_state().model_copy(update={"status": "finished"}))
    return settings, run


def test_memorized_rows_are_told_from_the_base_and_from_held_out_rows(memorized):
    settings, run = memorized
    stages = []
    found = check_publish(settings, run.id, rows=2, progress=lambda share, stage: stages.append(share))
    trained = [row for split, row, _ in subset.stream(settings, "two") if split == "train"]
    measured = found.extraction
    assert measured.tuned.verbatim == measured.more_than_base == trained
    assert measured.base.verbatim == measured.tuned_held_out.verbatim == measured.base_held_out.verbatim == []
    assert trained == [1, 3]
    assert measured.tuned_held_out.longest > 20 > measured.base_held_out.longest
    assert found.findings.counts == {"e-mail address": 4}
    assert found.verdict == (
        "Look before you publish: 4 e-mail addresses, 2 training rows that the model repeats and its base does not."
    )
    assert stages == sorted(stages)
    assert read_check(run, "final") == found
    text = card_files(Subject(settings, run, "final", ExportConfig(), "name"))[README].decode()
    assert "in the training data: 4 e-mail addresses in 4 rows of 4" in text
    assert "2 of 2 (95 % interval 34% to 100%); its base: 0 of 2" in text
    assert "jane" not in text, "a card has numbers only"


def test_check_of_other_weights_is_no_check(memorized):
    settings, run = memorized
    check_publish(settings, run.id, rows=0)
    weights = run.adapter / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content + b" ")
    try:
        assert read_check(run, "final") is None
        text = card_files(Subject(settings, run, "final", ExportConfig(), "name"))[README].decode()
        assert "verbatim extraction were not checked" in text
    finally:
        weights.write_bytes(content)


def test_command_lists_the_findings_with_their_rows(memorized, monkeypatch, capsys):
    settings, run = memorized
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    assert main(["publish-check", run.id, "--rows", "0"]) == 0
    printed = capsys.readouterr().out
    assert "row 0, train, turn 1: e-mail address j…@host.org" in printed.replace("held-out", "train")
    assert "Verbatim extraction was not measured." in printed
    assert "Look before you publish: 4 e-mail addresses." in printed


def test_unknown_adapter_is_refused(memorized):
    settings, run = memorized
    with pytest.raises(StudioError, match="has no adapter 'step 3'"):
        check_publish(settings, run.id, "step 3")


def test_share_is_given_with_its_interval():
    assert Extracted(rows=10, verbatim=[3]).describe() == "1 of 10 (95 % interval 2% to 40%)"
