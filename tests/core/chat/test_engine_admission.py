"""Admission of questions by the engine: prompts are rendered once, clocks start with answers, failures stay alone."""

import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.chat import loaded_model
from core.chat.engine import Engine
from core.chat.lanes import Lanes
from core.chat.queue_entry import WAITING, QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, LaneRequest, adapter_key
from core.errors import StudioError

BASE = BaseIdentity("tiny", quantization="none", compute_dtype="float32")


@pytest.fixture
def engine(store):
    return Engine(store.settings)


def question(engine, *prompts, tokens=8, adapter=None):
    sampling = Sampling(temperature=0, max_new_tokens=tokens)
    requests = [LaneRequest([{"role": "user", "content": prompt}], sampling, adapter) for prompt in prompts]
    return QueueEntry(resolve_lanes(engine.store, requests, BASE))


def test_engine_question_that_waits_for_memory_is_rendered_once(engine, monkeypatch):
    rendered, render = [], Lanes.render_prompt
    monkeypatch.setattr(Lanes, "render_prompt", lambda self, request: rendered.append(request) or render(self, request))
    holding = engine.ask(question(engine, "Hi.", tokens=400))
    begun = next(entry.generations[0] for entry in holding if entry.generations[0].tokens)
    engine._models.main.budget_bytes = engine._active[0].cache_bytes
    made = question(engine, "I wait.", "I wait, too.")
    waiting = engine.ask(made)
    assert next(waiting).stage == WAITING
    enough = begun.tokens + 20
    next(entry for entry in holding if entry.generations[0].tokens >= enough)
    assert [request.messages[-1]["content"] for request in rendered] == ["Hi.", "I wait.", "I wait, too."]
    assert not made.is_admitted
    engine._models.main.budget_bytes *= 10
    *_, entry = waiting
    assert entry.is_admitted
    assert all(answer.tokens for answer in entry.generations)
    assert len(rendered) == 3
    holding.close()


def test_engine_seconds_of_an_answer_begin_after_its_adapter_is_loaded(engine, tuned, monkeypatch):
    seconds, load = [], loaded_model.LoadedModel.load_adapters

    def load_slowly(*args):
        began = time.perf_counter()
        load(*args)
        time.sleep(0.2)
        seconds.append(time.perf_counter() - began)

    monkeypatch.setattr(loaded_model.LoadedModel, "load_adapters", load_slowly)
    made, began = question(engine, "Hi.", adapter=adapter_key(tuned().id, "final")), time.perf_counter()
    *_, entry = engine.ask(made)
    answer = entry.generations[0]
    assert 0 < answer.first_token_seconds <= answer.seconds <= time.perf_counter() - began - seconds[0]


@pytest.mark.parametrize("temperature", [0, 1])
def test_engine_run_that_has_diverged_fails_alone_with_a_sentence(engine, tuned, temperature):
    run = tuned()
    weights = run.adapter / "adapter_model.safetensors"
    save_file({name: torch.full_like(value, torch.nan) for name, value in load_file(weights).items()}, weights)
    stream = engine.ask(question(engine, "Hi.", tokens=400))
    next(entry for entry in stream if entry.generations[0].tokens)
    sampling = Sampling(temperature=temperature, max_new_tokens=8)
    lane = LaneRequest([{"role": "user", "content": "Hi."}], sampling, adapter_key(run.id, "final"))
    with pytest.raises(StudioError, match="computes no numbers any more"):
        list(engine.ask(QueueEntry(resolve_lanes(engine.store, [lane]))))
    *_, entry = stream
    assert entry.generations[0].end in ("length", "end")
