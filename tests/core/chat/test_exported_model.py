"""Exported GGUF files as lanes: the exact weights of the file, beside the base and the adapter."""

import shutil

import psutil
import pytest

from core.access.roles import Caller, Role, acting
from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest, adapter_key
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.process import resolve_evaluation_lanes
from core.evaluate.prompts import Prompt
from core.export.base_weights import WeightFiles
from core.export.config import ExportConfig
from core.export.float_model import FloatModel
from core.export.gguf_file import read_weights
from core.export.job import export
from core.export.merge import MergedModel
from core.hardware import gpu
from core.models import catalogue
from core.models.loading import Precision
from core.runs.exported import list_models
from core.runs.store import RunStore
from tests.helpers.exports import write_tiny_run
from tests.helpers.greedy import greedy_ids
from tests.helpers.tiny_model import tiny_llama

TYPES = ["F16", "Q8_0"]
GREEDY = Sampling(temperature=0, max_new_tokens=12)
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]
GIB = 2**30


@pytest.fixture
def run(settings, small_tokenizer):
    """A run whose model was exported in two types."""
    # With small weights, all models would repeat one token.
    model = tiny_llama(vocab_size=len(small_tokenizer), tie_word_embeddings=False, initializer_range=0.3)
    run = write_tiny_run(settings, small_tokenizer, model)
    export(settings, run.id, "final", ExportConfig(form="gguf", quantization=TYPES, check_rows=0))
    return run


@pytest.fixture
def store(settings):
    return RunStore(settings)


@pytest.fixture
def files(settings, run):
    """Each file by its type."""
    return {model.kind: model for model in list_models(settings, [run])}


def answer(engine, *keys):
    """Return the entry of a question that lanes with these keys have answered."""
    lanes = [LaneRequest(QUESTION, GREEDY, key) for key in keys]
    *_, entry = engine.ask(QueueEntry(resolve_lanes(engine.store, lanes)))
    return entry


def files_in(engine):
    return [model.exported.kind for model in engine._models if model.exported]


def test_lane_of_a_file_answers_as_the_model_that_the_report_reads(settings, store, run, files, small_tokenizer):
    engine, tuned = Engine(settings), adapter_key(run.id, "final")
    keys = [files[kind].key for kind in TYPES]
    entry = answer(engine, keys[0], None, tuned, keys[1])
    first, base, adapter, second = entry.generations
    assert base.ids != adapter.ids
    # As `core.export.fidelity` reads an exported file.
    merged = MergedModel(WeightFiles(catalogue.find(settings, "tiny"), Precision("none"), "original"), run.adapter)
    for index, found, kind in ((0, first, "F16"), (3, second, "Q8_0")):
        reference = FloatModel(catalogue.find(settings, "tiny"))
        reference.fill(read_weights(files[kind].path, merged))
        eos = small_tokenizer.eos_token_id
        expected = greedy_ids(reference.model, entry.prompts[index].ids, GREEDY.max_new_tokens, eos, found.ids)
        assert (kind, found.ids) == (kind, expected)
        assert f"{files[kind].name} answers with its own weights ({kind}), dequantized" in engine.decoding_note
        for name, parameter in reference.model.named_parameters():
            own = next(model for model in engine._models if model.exported == files[kind])
            assert parameter.equal(own.lanes.model.get_parameter(name))
    assert engine.loaded.quantization == "nf4"


def test_files_stay_loaded_until_another_one_is_needed(settings, store, run, files):
    engine, tuned = Engine(settings), adapter_key(run.id, "final")
    first = answer(engine, files["Q8_0"].key).generations[0].ids
    assert engine._models.main is None
    # The base model is loaded beside the file, and the file stays for the next question.
    answer(engine, tuned, files["Q8_0"].key)
    kept = list(engine._models)
    answer(engine, tuned)
    assert answer(engine, tuned, files["Q8_0"].key).generations[1].ids == first
    assert list(engine._models) == kept
    answer(engine, files["F16"].key)
    assert files_in(engine) == ["F16"]
    # A file that was exported again under the same name is another one.
    shutil.copy(files["Q8_0"].path, files["F16"].path)
    assert answer(engine, files["F16"].key).generations[0].ids == first
    assert files_in(engine) == ["F16"]
    engine.unload()
    assert list(engine._models) == []


def test_file_that_cannot_answer_is_refused_with_a_sentence(settings, store, run, files, monkeypatch, small_tokenizer):
    engine, key = Engine(settings), files["Q8_0"].key
    with monkeypatch.context() as patched:
        memory = psutil.virtual_memory()._replace(available=GIB)
        patched.setattr(psutil, "virtual_memory", lambda: memory)
        patched.setattr(gpu, "memory", lambda: None)
        with pytest.raises(
            StudioError, match=r"Q8_0.gguf answers with weights of its own, which take 1.0 GiB in float32"
        ):
            answer(engine, key)
    queued = QueueEntry(resolve_lanes(store, [LaneRequest(QUESTION, GREEDY, key)]))
    files["Q8_0"].path.rename(settings.home / "model.gguf")
    with pytest.raises(StudioError, match=r"Q8_0.gguf was deleted meanwhile. Export it again"):
        list(engine.ask(queued))
    with pytest.raises(StudioError, match=r"no GGUF file .*Q8_0.gguf' of the run .* There are: .*F16.gguf\."):
        answer(engine, key)
    files["Q8_0"].path.write_bytes((settings.home / "model.gguf").read_bytes()[:5000])
    with pytest.raises(StudioError, match=r"Q8_0.gguf cannot be read as GGUF"):
        answer(engine, key)
    (settings.home / "model.gguf").rename(files["Q8_0"].path)
    narrower = tiny_llama(vocab_size=len(small_tokenizer), intermediate_size=96)
    narrower.save_pretrained(settings.models_dir / "tiny")
    with pytest.raises(StudioError, match=r"Q8_0.gguf does not belong to this base model: its tensor blk.0.ffn_"):
        answer(engine, key)
    assert files_in(engine) == []


def test_lane_names_only_files_of_its_run_and_only_for_the_owner(settings, store, run, files, monkeypatch):
    for name in ("../x.gguf", "other.gguf", ".gguf", "a/b.gguf", "x" * 200 + ".gguf"):
        with pytest.raises(StudioError, match=r"cannot be used as a name of a file|There is no GGUF file"):
            resolve_lanes(store, [LaneRequest(QUESTION, GREEDY, f"{run.id}/{name}")])
    other = write_tiny_run(settings, None)
    with pytest.raises(StudioError, match="or is of another run"):
        resolve_lanes(store, [LaneRequest(QUESTION, GREEDY, f"{other.id}/{files['F16'].name}")])
    config = EvaluationConfig(lanes=["base", files["F16"].key])
    with pytest.raises(StudioError, match=r"F16.gguf is an exported file, and an evaluation has one copy"):
        resolve_evaluation_lanes(store, config, Prompt(QUESTION))
    monkeypatch.setattr("core.access.visibility.can_see_run", lambda *_: True)
    with acting(Caller(Role.VISITOR, "browser a")):
        assert list_models(settings, [run]) == []
        for file in (files["Q8_0"].name, "missing.gguf"):
            with pytest.raises(StudioError, match="Only the owner can ask exported files"):
                resolve_lanes(store, [LaneRequest(QUESTION, GREEDY, f"{run.id}/{file}")])
