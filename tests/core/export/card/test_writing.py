"""Cards of exported models: front matter that the Hub reads, licenses, results, and texts that stay inert."""

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard

from core.chat import votes
from core.chat.types import GenerationResult
from core.chat.votes import Vote
from core.data.table import Source
from core.evaluate.store import EvaluationStore
from core.export.card.loading import loaders
from core.export.card.writing import NOTICE, README, Subject, card_files, card_names
from core.export.config import FORMS, ExportConfig
from core.export.result import Fidelity
from core.models import embedded
from core.models.license import TERMS
from core.runs import example, plots
from core.runs.config import QLoRAConfig
from core.runs.store import Label
from core.settings import Settings
from core.system.files import read_json, write_json
from tests.helpers.board_evaluations import board_evaluation
from tests.helpers.hostile_text import HOSTILE, ParsedHtml, markdown_html
from tests.helpers.run_events import EVENTS

LLAMA = "meta-llama/Llama-2-7b-hf"
RELATIONS = {
    "adapter": ("adapter", "peft"), "gguf-adapter": ("adapter", "gguf"), "merged": ("finetune", "transformers"),
    "combined": ("adapter", "peft"), "merged-4bit": ("quantized", "transformers"), "gguf": ("quantized", "gguf"),
    "ollama": ("quantized", "gguf"), "mlx": ("adapter", "mlx"),
}  # fmt: skip


@pytest.fixture
def trained(a_run):
    """A run with events and the adapter of the example."""
    run = a_run(EVENTS, QLoRAConfig(subset="keeper"))
    shutil.copytree(example.FOLDER / "adapter", run.adapter)
    return run


def subject(run, form="adapter", **fields):
    return Subject(Settings(home=run.folder.parents[1]), run, "final", ExportConfig(form=form), "name", **fields)


def card_of(run, form="adapter", **fields):
    files = card_files(subject(run, form, **fields))
    text = files[README].decode()
    return ModelCard(text), text, files


def from_the_hub(run, name="someone/data", license="MIT", revision="a" * 40):
    found = read_json(run.folder / "subset.json")
    found["source"] = Source(kind="hub", name=name, key="k", revision=revision, licence=license).model_dump()
    write_json(run.folder / "subset.json", found)


@pytest.mark.parametrize("form", FORMS)
def test_front_matter_of_a_form_is_read_back_by_the_hubs_client(trained, form):
    from_the_hub(trained)
    card, text, files = card_of(trained, form)
    data = card.data.to_dict()
    assert (data["base_model_relation"], data["library_name"]) == RELATIONS[form]
    assert data["base_model"] == embedded.HUB_ID
    assert data["license"] == "apache-2.0"
    assert data["datasets"] == ["someone/data"]
    assert data["language"] == ["en"]
    assert data["pipeline_tag"] == "text-generation"
    assert "qlora-studio" in data["tags"]
    assert yaml.safe_load(text.split("---\n")[1])["model-index"] == data["model-index"]
    (loss,) = card.data.eval_results
    assert (loss.metric_type, loss.metric_value, loss.metric_args) == ("held_out_loss", 3.0, {"base": 4.0, "step": 2})
    assert loss.dataset_revision == "a" * 40
    assert files[plots.LOSS_FILE].startswith(b"\x89PNG")
    assert f"]({plots.LOSS_FILE})" in text
    assert sorted(files) == sorted(card_names(trained_settings(trained), trained))
    assert all(loader.code in text for loader in loaders(trained, form, "name"))


def trained_settings(run):
    return Settings(home=run.folder.parents[1])


@pytest.mark.parametrize("form", FORMS)
def test_model_of_a_form_is_loaded_in_at_most_five_lines(trained, form):
    found = loaders(trained, form, "name")
    assert found
    for loader in found:
        assert len([line for line in loader.code.splitlines() if line]) <= 5
        if loader.language == "python":
            compile(loader.code, loader.tool, "exec")


def test_merge_of_several_models_names_them_all(trained):
    data = card_of(trained, "merged", merged_with=("someone/other",))[0].data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ([embedded.HUB_ID, "someone/other"], "merge")


def test_evaluation_beside_the_base_brings_metrics_with_intervals(trained, tmp_path):
    store = EvaluationStore(trained_settings(trained))
    board_evaluation(store, tmp_path, {"base": 2.0, "elsewhere": 1.9}, created=9.0)
    board_evaluation(store, tmp_path, {"base": 2.0, trained.id: 1.0}, created=2.0)
    newest = board_evaluation(store, tmp_path, {trained.id: 1.5, "base": 2.0}, created=3.0)
    unfinished = board_evaluation(store, tmp_path, {trained.id: 1.2, "base": 2.0}, created=4.0)
    unfinished.save_state(unfinished.saved_state().model_copy(update={"status": "stopped"}))
    card, text, _ = card_of(trained)
    loss = next(result for result in card.data.eval_results if result.metric_type == "loss")
    assert loss.metric_value == pytest.approx(1.5, abs=0.05)
    found = loss.metric_args
    assert found["base"] == pytest.approx(2, abs=0.05)
    assert found["interval_of_difference"]["low"] < found["difference"] < found["interval_of_difference"]["high"] < 0
    assert loss.dataset_args == {"evaluation": newest.id}
    assert "| Loss on the reference |" in text
    assert "Better: loss on the reference fell" in text


def test_only_blind_votes_against_the_base_are_counted(trained):
    settings = trained_settings(trained)
    answers = [GenerationResult(text="a", run=trained.id, adapter="final"), GenerationResult(text="b")]
    path = votes.votes_path(settings, "any base")
    for blind, verdict in ((True, "left"), (True, "left"), (True, "right"), (True, "tie"), (False, "right")):
        votes.add(path, Vote(chat="c", messages=[], answers=answers, verdict=verdict, blind=blind))
    assert "preferred to its base in 2 of 3 votes with a winner (67%" in card_of(trained)[1]


def write_base(settings, name, files):
    folder = settings.models_dir / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    for file, text in files.items():
        (folder / file).write_text(text)


def test_llama_2_brings_its_license_notice_and_rule(trained):
    trained.save_config(trained.config().model_copy(update={"model": LLAMA}))
    card, text, files = card_of(trained)
    assert card.data.license == "llama2"
    assert files[NOTICE].decode().strip() == TERMS["llama2"].notice
    assert TERMS["llama2"].notice in text
    assert "may be used to improve another large language model" in text
    assert TERMS["llama2"].link in text
    assert "must begin with" not in text, "its license has no rule for names"


def test_llama_3_brings_the_words_and_the_beginning_of_the_name(trained):
    write_base(trained_settings(trained), "three", {
        "LICENSE": "META LLAMA 3 COMMUNITY LICENSE AGREEMENT\n…", "USE_POLICY.md": "# Policy",
    })  # fmt: skip
    trained.save_config(trained.config().model_copy(update={"model": "three"}))
    card, text, files = card_of(trained)
    assert card.data.license == "llama3"
    assert card.data.model_name.startswith("Llama 3 ")
    assert "**Built with Meta Llama 3**" in text
    assert "\n# Llama 3 " in text
    assert files["LICENSE"].startswith(b"META LLAMA 3")
    assert files["USE_POLICY.md"] == b"# Policy"
    assert "lies beside this file" in text


def test_unknown_license_of_the_base_is_stated(trained):
    write_base(trained_settings(trained), "plain", {})
    trained.save_config(trained.config().model_copy(update={"model": "plain"}))
    card, text, _ = card_of(trained)
    assert card.data.license is None
    assert "was not found in its files" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_from_outside_are_inert(trained, hostile):
    from_the_hub(trained, hostile, hostile, hostile)
    trained.save_label(Label(name=hostile[:100]))
    trained.save_config(trained.config().model_copy(update={"sample_prompts": f"```\n{hostile}\n~~~"}))
    fidelity = Fidelity(rows=1, tokens=2, same_choice=1, mean_kl=0, high_kl=0, loss=1, exported_loss=1)
    card, text, _ = card_of(trained, "merged", fidelity=fidelity, notes=[hostile])
    assert card.data.base_model == embedded.HUB_ID
    assert card.data.datasets is None, "no id of the Hub"
    parsed = ParsedHtml(markdown_html(text.split("---\n", 2)[2]))
    assert not {tag for tag, _ in parsed.tags} & {"script", "iframe", "svg", "i", "b"}
    assert not [attributes for tag, attributes in parsed.tags if tag == "a" and "ai.meta.com" not in str(attributes)]
    assert [dict(attributes)["src"] for tag, attributes in parsed.tags if tag == "img"] == [plots.LOSS_FILE]
