"""Losses of references, compared with those of transformers and PEFT for each text alone."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel

from core.chat import forward
from core.chat.adapters import read_adapter
from core.chat.forward import TargetText, token_losses
from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.data.tokens import IGNORE_INDEX
from core.evaluate.likelihood import LossReader, ReferenceLosses, spread_evenly
from core.evaluate.line_file import LineWriter
from core.evaluate.prompts import Prompts
from core.models.loading import LoadedBase
from tests.helpers.tiny_model import make_adapter, tiny_llama

ADAPTER = "run/final"
CONTEXT = 120


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, small_tokenizer):
    """Return lanes with one adapter, and the folder of the adapter."""
    model = tiny_llama(vocab_size=len(small_tokenizer), max_position_embeddings=CONTEXT)
    folder = make_adapter(model, tmp_path_factory.mktemp("adapter") / "a", rank=4, seed=1, scale=1.0)
    lanes = Lanes(LoadedBase(model, small_tokenizer), fast=False)
    lanes.add_adapter(ADAPTER, folder)
    return lanes, folder


def transformers_loss(model, ids, labels):
    """Return the summed loss that transformers itself computes for a text, and its number of tokens."""
    labels = torch.tensor([labels])
    count = int((labels[:, 1:] != IGNORE_INDEX).sum())
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), labels=labels).loss.item() * count, count


def random_texts(count, seed=0):
    numbers = np.random.default_rng(seed)
    texts = []
    for at in range(count):
        ids = numbers.integers(3, 400, int(numbers.integers(2, 90))).tolist()
        first = int(numbers.integers(0, len(ids)))
        end = int(numbers.integers(max(first, 1), len(ids))) + 1
        labels = [token if first <= place < end else IGNORE_INDEX for place, token in enumerate(ids)]
        texts.append(TargetText(ids, labels, ADAPTER if at % 2 else None))
    return texts


@pytest.mark.parametrize("small_chunks", [False, True])
def test_token_losses_equal_those_of_transformers_alone(loaded, monkeypatch, small_chunks):
    lanes, folder = loaded
    if small_chunks:
        # Several batches, each read in several chunks, before and among its targets.
        monkeypatch.setattr(forward, "_MAX_CHUNK_TOKENS", 7)
        monkeypatch.setitem(forward.CHUNK_LOGITS, "cpu", 1)
        monkeypatch.setitem(forward.BATCH_TOKENS, "cpu", 300)
    texts = random_texts(24)
    found = dict(pair for batch in token_losses(lanes, texts) for pair in batch)
    assert sorted(found) == list(range(len(texts)))
    tuned = PeftModel.from_pretrained(tiny_copy(lanes), folder).eval()
    for index, text in enumerate(texts):
        total, count = transformers_loss(tuned if text.adapter else lanes.model, text.ids, text.labels)
        assert len(found[index]) == count
        assert found[index].sum() == pytest.approx(total, rel=1e-4)


def tiny_copy(lanes):
    model = type(lanes.model)(lanes.model.config)
    model.load_state_dict(lanes.model.state_dict())
    return model


def test_token_losses_alone_equal_those_in_a_batch(loaded, monkeypatch):
    lanes, _ = loaded
    texts = random_texts(6, seed=1)
    batched = dict(pair for batch in token_losses(lanes, texts) for pair in batch)
    monkeypatch.setattr(lanes, "needs_own_pass", lambda adapter, tokens: True)
    for [(index, losses)] in token_losses(lanes, texts):
        np.testing.assert_allclose(losses, batched[index], atol=1e-4)


def test_token_losses_of_an_adapter_that_cannot_be_batched_equal_those_in_a_batch(loaded):
    lanes, folder = loaded
    texts = [text for text in random_texts(6, seed=2) if text.adapter]
    batched = dict(pair for batch in token_losses(lanes, texts) for pair in batch)
    lanes.adapters.add("alone", read_adapter(folder, torch.float32, torch.device("cpu")), "a test says so")
    for [(index, losses)] in token_losses(lanes, [replace(text, adapter="alone") for text in texts]):
        np.testing.assert_allclose(losses, batched[index], atol=1e-4)
    lanes.adapters.remove("alone")


def write_prompts(path, rows):
    lines = [{"messages": messages, "reference": reference, "row": at} for at, (messages, reference) in enumerate(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Prompts(path)


def ask(text):
    return [{"role": "user", "content": text}]


ROWS = [
    (ask("What is a knot?"), "A knot holds a rope."),
    ([*ask("Hi"), {"role": "assistant", "content": "Ahoy"}, *ask("And a ship?")], "It sails the sea, friend."),
    (ask("No reference"), " "),
    (ask("word " * 200), "The question fills the context."),
    (ask("Long answer"), "sea " * 200),
    (ask("Say </s><|im_end|>"), "Refused."),
]


def compute(lanes, prompts, done=(), may_continue=lambda: True, system=""):
    sampling = Sampling(system=system)
    requests = [LaneRequest([], sampling), LaneRequest([], sampling, ADAPTER)]
    losses = ReferenceLosses(lanes, requests, prompts)
    return [line for lines in losses.compute(losses.list_missing(done), may_continue) for line in lines]


def test_reference_losses_are_those_of_the_rendered_answer(loaded, tmp_path):
    lanes, folder = loaded
    prompts = write_prompts(tmp_path / "prompts.jsonl", ROWS)
    lines = {(line["prompt"], line["lane"]): line for line in compute(lanes, prompts)}
    assert sorted(lines) == [(index, lane) for index in (0, 1, 3, 4, 5) for lane in (0, 1)]
    tuned = PeftModel.from_pretrained(tiny_copy(lanes), folder).eval()
    for index in (0, 1, 4):
        messages, reference = ROWS[index]
        # The reference alone carries loss, also after earlier answers.
        messages = [turn | {"loss": False} for turn in messages]
        rendered = lanes.renderer().render([*messages, {"role": "assistant", "content": reference}], CONTEXT)
        for lane, model in enumerate((lanes.model, tuned)):
            total, count = transformers_loss(model, rendered.input_ids, rendered.labels)
            line = lines[index, lane]
            assert (line["tokens"], line["cut"], line["note"]) == (count, index == 4, "")
            assert line["nll"] == pytest.approx(total, rel=1e-4)
            assert math.exp(line["nll"] / count) == pytest.approx(math.exp(total / count), rel=1e-4)
    assert lines[0, 0]["nll"] != pytest.approx(lines[0, 1]["nll"], rel=1e-3)
    assert (lines[3, 0]["nll"], lines[3, 0]["tokens"]) == (None, 0)
    assert "fills the model's context of 120 tokens" in lines[3, 0]["note"]
    assert "the chat template refuses" in lines[5, 1]["note"]


def test_reference_losses_follow_the_system_prompt(loaded, tmp_path):
    lanes, _ = loaded
    prompts = write_prompts(tmp_path / "prompts.jsonl", ROWS[:1])
    plain, prompted = compute(lanes, prompts)[0], compute(lanes, prompts, system="Answer like a pirate.")[0]
    assert plain["tokens"] == prompted["tokens"]
    assert plain["nll"] != prompted["nll"]


def test_loss_reader_reports_cut_and_missing_losses(loaded, tmp_path):
    lanes, _ = loaded
    path = tmp_path / "losses.jsonl"
    LineWriter(path).write(compute(lanes, write_prompts(tmp_path / "prompts.jsonl", ROWS)))
    reader = LossReader(path, 2).update()
    assert (reader.cut, len(reader), len(reader.sums)) == ([1, 1], 10, 6)
    notes = reader.notes()
    assert notes[0].startswith("1 reference is cut")
    assert sum(note.startswith("2 losses are missing: ") for note in notes) == 2


def test_references_of_chosen_rows_are_read_only(loaded, tmp_path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", ROWS)
    requests = [LaneRequest([], Sampling()), LaneRequest([], Sampling(), ADAPTER)]
    missing = ReferenceLosses(loaded[0], requests, prompts, rows=2).list_missing([])
    # The third row has no reference.
    assert missing == [(0, 0), (0, 1), (3, 0), (3, 1)]


@given(length=st.integers(0, 60), count=st.integers(0, 80))
def test_spread_rows_have_equal_distances(length, count):
    chosen = spread_evenly(list(range(length)), count)
    assert len(chosen) == (min(count, length) if count else length)
    assert chosen == sorted(set(chosen))
    assert len({after - before for before, after in itertools.pairwise(chosen)}) <= 2


@given(size=st.integers(0, 700))
def test_losses_killed_at_any_byte_are_completed_without_repetition(loaded, tmp_path_factory, size):
    lanes, _ = loaded
    folder = tmp_path_factory.mktemp("losses")
    path, prompts = folder / "losses.jsonl", write_prompts(folder / "prompts.jsonl", ROWS[:3])
    whole = "".join(json.dumps(line) + "\n" for line in SAVED.setdefault("lines", compute(lanes, prompts))).encode()
    path.write_bytes(whole[: size % (len(whole) + 1)])
    writer = LineWriter(path)
    done = LossReader(path, 2).update().offsets
    losses = ReferenceLosses(lanes, [LaneRequest([], Sampling()), LaneRequest([], Sampling(), ADAPTER)], prompts)
    missing = set(losses.list_missing(done))
    # The values are known: only which of them are written again is tested.
    writer.write(line for line in SAVED["lines"] if (line["prompt"], line["lane"]) in missing)
    keys = [(line["prompt"], line["lane"]) for line in map(json.loads, path.read_text().splitlines())]
    assert sorted(keys) == [(0, 0), (0, 1), (1, 0), (1, 1)]


SAVED: dict[str, list] = {}
