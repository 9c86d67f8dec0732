"""The API with OpenAI's own client: the same texts as the Chat tab's lanes, whole and as streams."""

import time

import openai
import pytest

from core.chat.loaded_model import LoadedModel
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, LaneRequest, adapter_key
from tests.helpers.api_server import ApiServer

# The model continues these tokens for hundreds of steps.
LONG = list(range(3, 100))
QUESTION = [{"role": "user", "content": "Name a sea."}]
BASE = BaseIdentity("tiny", quantization="none", compute_dtype="float32")


def chat_lane(api, sampling, run_id=None):
    """Return the generation of a lane of the Chat tab."""
    lane = LaneRequest(QUESTION, sampling, adapter_key(run_id, "final") if run_id else None)
    *_, entry = api.engine.ask(QueueEntry(resolve_lanes(api.engine.store, [lane], BASE)))
    return entry.generations[0]


@pytest.fixture
def client(api):
    with api.client() as made:
        yield made


def test_models_are_the_base_and_every_adapter(client, run_ids):
    models = list(client.models.list())
    assert {model.id for model in models} == {"tiny", *run_ids}
    assert client.models.retrieve("tiny").base == "tiny · unquantized · float32"
    assert client.models.retrieve(run_ids[0]).created == 1


@pytest.mark.parametrize("name", ["gpt-4o", "tiny/final", "../tiny", ""])
def test_unknown_model_is_answered_with_the_known_ones(client, run_ids, name):
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as refused:
        client.chat.completions.create(model=name, messages=QUESTION)
    assert refused.value.param == "model"
    assert not name or run_ids[0] in refused.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "seed": 7, "top_p": 0.8},
        {"temperature": 1.5, "seed": 2**32 - 1, "top_k": 50, "min_p": 0.01, "repetition_penalty": 1.2},
    ],
)
def test_chat_answer_equals_that_of_the_chat_lane(api, client, run_ids, settings):
    own = {name: settings[name] for name in ("top_k", "min_p", "repetition_penalty") if name in settings}
    standard = {name: value for name, value in settings.items() if name not in own}
    for model, run_id in (("tiny", None), (run_ids[0], run_ids[0]), (run_ids[1], run_ids[1])):
        expected = chat_lane(api, Sampling(**settings, max_new_tokens=12), run_id)
        found = client.chat.completions.create(
            model=model, messages=QUESTION, max_completion_tokens=12, extra_body=own, **standard
        )
        assert found.choices[0].message.content == expected.text
        assert found.choices[0].finish_reason == {"end": "stop", "length": "length"}[expected.end]
        assert found.usage.completion_tokens == expected.tokens
        assert found.usage.total_tokens == found.usage.prompt_tokens + expected.tokens


def test_several_answers_have_the_seeds_after_the_given_one(api, client, run_ids):
    found = client.chat.completions.create(
        model=run_ids[0], messages=QUESTION, max_tokens=10, temperature=1, seed=41, n=3
    )
    lanes = [chat_lane(api, Sampling(temperature=1, seed=41 + at, max_new_tokens=10), run_ids[0]) for at in range(3)]
    assert [choice.message.content for choice in found.choices] == [lane.text for lane in lanes]
    assert len({lane.text for lane in lanes}) == 3
    assert found.usage.completion_tokens == sum(lane.tokens for lane in lanes)


def test_answers_without_a_seed_differ(client):
    texts = {
        client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=8, temperature=2)
        .choices[0].message.content for _ in range(3)
    }  # fmt: skip
    assert len(texts) > 1


def test_chat_stream_has_the_same_text_and_probabilities_as_the_whole_answer(client, run_ids):
    asked = {
        "model": run_ids[0], "messages": QUESTION, "max_tokens": 30, "temperature": 1, "seed": 3, "n": 2,
        "logprobs": True, "top_logprobs": 2,
    }  # fmt: skip
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage == whole.usage
    for at, choice in enumerate(whole.choices):
        own = [each for chunk in chunks for each in chunk.choices if each.index == at]
        assert own[0].delta.role == "assistant"
        assert "".join(each.delta.content for each in own) == choice.message.content
        assert [each.finish_reason for each in own] == [None] * (len(own) - 1) + [choice.finish_reason]
        tokens = [token for each in own if each.logprobs for token in each.logprobs.content]
        assert tokens == choice.logprobs.content
        assert "".join(token.token for token in tokens) == choice.message.content
        assert all(len(token.top_logprobs) == 2 for token in tokens)


def test_greedy_token_is_the_most_likely_one(client):
    found = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_tokens=6, temperature=0, logprobs=True, top_logprobs=1
    )
    for token in found.choices[0].logprobs.content:
        assert (token.token, token.logprob) == (token.top_logprobs[0].token, token.top_logprobs[0].logprob)


def test_text_ends_before_a_stop_text_that_the_stream_never_shows(api, client):
    text = chat_lane(api, Sampling(temperature=0, max_new_tokens=40)).text
    stop = text[len(text) // 2 : len(text) // 2 + 9]
    expected = text[: text.index(stop)]
    asked = {"model": "tiny", "messages": QUESTION, "max_tokens": 40, "temperature": 0, "stop": ["no such\n\n", stop]}
    found = client.chat.completions.create(**asked)
    assert (found.choices[0].message.content, found.choices[0].finish_reason) == (expected, "stop")
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(each.delta.content for chunk in chunks for each in chunk.choices) == expected


def test_answer_without_a_length_fills_the_context(client):
    prompt = list(range(3, 590))
    found = client.completions.create(model="tiny", prompt=prompt, temperature=0, stop=["never written"])
    assert (found.usage.total_tokens, found.choices[0].finish_reason) == (600, "length")


def test_prompt_that_exceeds_the_context_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="has 598 tokens, and 10 more") as refused:
        client.completions.create(model="tiny", prompt=list(range(3, 601)), max_tokens=10)
    assert refused.value.code == "context_length_exceeded"
    # As a conversation too, of which the Chat tab would leave the first turns out.
    turns = [{"role": role, "content": "sea " * 150} for role in ("user", "assistant", "user", "assistant", "user")]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="tiny", messages=turns, max_tokens=10)
    assert refused.value.code == "context_length_exceeded"


@pytest.fixture
def slow_steps(monkeypatch):
    """Let each step of the model take a while, so that an answer lasts seconds."""
    step = LoadedModel.step

    def wait_and_step(self):
        time.sleep(0.02)
        step(self)

    monkeypatch.setattr(LoadedModel, "step", wait_and_step)


def wait_until_idle(engine):
    deadline = time.monotonic() + 20
    while engine._active or engine._waiting:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_caller_who_leaves_stops_the_answer(api, client, slow_steps):
    stream = client.completions.create(model="tiny", prompt=LONG, max_tokens=500, temperature=0, stream=True)
    next(iter(stream))
    [active] = api.engine._active
    stream.close()
    wait_until_idle(api.engine)
    assert active.entry.generations[0].end == "stopped"
    assert active.entry.generations[0].tokens < 400


def test_caller_who_leaves_before_the_whole_answer_stops_it(api, slow_steps):
    with api.client().with_options(timeout=0.6) as hasty, pytest.raises(openai.APITimeoutError):
        hasty.completions.create(model="tiny", prompt=[LONG] * 8, max_tokens=500, temperature=0)
    [active] = api.engine._active
    wait_until_idle(api.engine)
    assert {generation.end for generation in active.entry.generations} == {"stopped"}


def test_stop_of_the_server_ends_answers_with_an_error(served_store, run_ids, slow_steps):
    server = ApiServer(served_store.settings, run_ids)
    with server.client() as client:
        stream = iter(client.completions.create(model="tiny", prompt=LONG, max_tokens=500, temperature=0, stream=True))
        next(stream)
        server.close()
        with pytest.raises(openai.APIError, match="is being stopped"):
            list(stream)
    wait_until_idle(server.engine)


def test_failure_of_the_engine_is_an_error_of_the_server(api, client, monkeypatch, capfd):
    def fail(self):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("core.chat.loaded_model.LoadedModel.step", fail)
    with pytest.raises(openai.InternalServerError, match="ZeroDivisionError"):
        client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=4)
    assert "planted" in capfd.readouterr().err


def test_failure_in_mid_stream_is_an_event(client, monkeypatch):
    def fail(self, token, logprob=None, likely=None):
        if self._generation.tokens > 2:
            raise ZeroDivisionError("planted")
        self._generation.tokens += 1
        return token

    monkeypatch.setattr("core.chat.generation_writer.GenerationWriter.add", fail)
    with pytest.raises(openai.APIError, match="ZeroDivisionError"):
        list(client.completions.create(model="tiny", prompt="A sea", max_tokens=9, stream=True))
