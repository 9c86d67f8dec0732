"""Parameters: each is used or refused by its name, and values that mean "off" are accepted."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat.sampling import Sampling
from core.serve.errors import ApiError
from core.serve.parameters import ChatParameters, CompletionParameters, parse
from core.serve.questions import chat_lanes, completion_lanes

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
TEXT = {"model": "m", "prompt": "Hi"}


def refusal(body, kind=None):
    """Return the error of a request that must be refused."""
    kind = kind or (ChatParameters if "messages" in body else CompletionParameters)
    lanes = chat_lanes if kind is ChatParameters else completion_lanes
    with pytest.raises(ApiError) as refused:
        lanes(parse(kind, body), None)
    assert refused.value.status == 400
    assert str(refused.value).endswith(".")
    return refused.value.body["error"]


@pytest.mark.parametrize(
    ("over", "param", "message"),
    [
        ({"presence_penalty": 0.5}, "presence_penalty", "no presence penalty"),
        ({"frequency_penalty": 1}, "frequency_penalty", "Leave it out or send 0"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "no bias"),
        ({"tools": [{"type": "function"}]}, "tools", "call no tools"),
        ({"response_format": {"type": "json_object"}}, "response_format", "does not force a format"),
        ({"user": "me"}, "user", "not supported"),
        ({"store": True}, "store", "nothing of a request is stored"),
        ({"mirostat": 1}, "mirostat", "is not known here"),
        ({"prompt": "x"}, "prompt", "is not known here"),
        ({"temperature": 2.5}, "temperature", "at most 2 .given: 2.5."),
        ({"temperature": "0.5"}, "temperature", "number"),
        ({"temperature": float("nan")}, "temperature", "must be"),
        ({"top_p": 0}, "top_p", "at least 0.001"),
        ({"top_k": 5000}, "top_k", "at most 1000"),
        ({"seed": -1}, "seed", "at least 0"),
        ({"seed": 2**32}, "seed", "less than"),
        ({"seed": True}, "seed", "number"),
        ({"n": 0}, "n", "at least 1"),
        ({"n": 33}, "n", "at most 32"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": 5000}, "max_tokens", "at most 4096"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "Send one of them"),
        ({"stop": ["a"] * 17}, "stop", "at most 16 texts"),
        ({"stop": ""}, "stop", "not empty"),
        ({"stop": "a" * 1001}, "stop", "1,000"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "for a stream"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at most 20"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "user"}]}, "messages[0]", "no content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]", "has the role 'tool'"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "End the messages with a question"),
        ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "messages[0]", "the field 'name'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]", "of type 'image_url'"),
        ({"model": ""}, "model", "must not be empty"),
    ],
)  # fmt: skip
def test_chat_parameter_is_refused_by_name(over, param, message):
    found = refusal(CHAT | over, ChatParameters)
    assert found["param"] == param
    assert re.search(message, found["message"]), found["message"]


@pytest.mark.parametrize(
    ("over", "param"),
    [
        ({"logprobs": 21}, "logprobs"), ({"logprobs": True}, "logprobs"), ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": []}, "prompt"), ({"prompt": [["a"]]}, "prompt"), ({"prompt": ["a"] * 9, "n": 4}, "prompt"),
        ({"suffix": "end"}, "suffix"), ({"best_of": 3}, "best_of"), ({"messages": []}, "messages"),
        ({"max_completion_tokens": 5}, "max_completion_tokens"),
    ],
)  # fmt: skip
def test_completion_parameter_is_refused_by_name(over, param):
    assert refusal(TEXT | over, CompletionParameters)["param"] == param


def test_values_that_mean_off_are_accepted():
    off = {
        "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "tools": [], "tool_choice": "none",
        "response_format": {"type": "text"}, "store": False, "user": None, "stop": None, "seed": None,
        "logprobs": False, "parallel_tool_calls": None,
    }  # fmt: skip
    [lane] = chat_lanes(parse(ChatParameters, CHAT | off), None)
    assert lane.sampling == Sampling(max_new_tokens=4096, seed=lane.sampling.seed)
    assert lane.program.fills_context
    assert parse(CompletionParameters, TEXT | {"best_of": 1, "suffix": None}).prompts == ["Hi"]


# As many as 4 MiB hold.
LONG = 500_000
NAMES = dict.fromkeys(map(str, range(LONG)))


@pytest.mark.parametrize(
    ("kind", "over"),
    [
        (CompletionParameters, {"prompt": [None] * LONG}), (CompletionParameters, {"prompt": ["a"] * LONG}),
        (CompletionParameters, {"prompt": [1] * LONG + ["a"] * LONG}), (CompletionParameters, {"prompt": [[]] * LONG}),
        (CompletionParameters, {"prompt": [[None] * LONG] * 2}), (CompletionParameters, {"prompt": [1.5] * LONG}),
        (ChatParameters, {"messages": [1] * LONG}), (ChatParameters, {"stop": [1] * LONG}),
        (ChatParameters, {"stop": ["a"] * LONG}), (ChatParameters, {"stream_options": NAMES}),
        (ChatParameters, {"logit_bias": NAMES}), (ChatParameters, {"tools": [{}] * LONG}),
    ],
)  # fmt: skip
def test_long_list_is_refused_before_each_entry_is_an_error(kind, over):
    """Hundreds of thousands of errors would take a minute of the event loop, and gigabytes."""
    body = (CHAT if kind is ChatParameters else TEXT) | over
    began = time.process_time()
    refusal(body, kind)
    assert time.process_time() - began < 1


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from(sorted({*ChatParameters.model_fields, "user", "x"})), JSON))
def test_any_json_is_parsed_or_refused_with_a_sentence(over):
    error = None
    try:
        chat_lanes(parse(ChatParameters, CHAT | over), None)
    except ApiError as refused:
        error = refused
    assert error is None or (error.status == 400 and error.body["error"]["message"])


def test_roles_and_parts_become_turns():
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
        {"role": "assistant", "content": "Hi.", "refusal": None, "tool_calls": []},
        {"role": "user", "content": "And?"},
    ]
    [lane] = chat_lanes(parse(ChatParameters, CHAT | {"messages": messages, "stop": "."}), "run/final")
    assert [(turn["role"], turn["content"]) for turn in lane.messages] == [
        ("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi."), ("user", "And?"),
    ]  # fmt: skip
    assert (lane.adapter, lane.program.stop) == ("run/final", (".",))
