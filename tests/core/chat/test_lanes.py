"""Lanes compared with transformers' generate and PEFT; answers that stop, continue, and stream."""

import re

import pytest
import torch
from peft import PeftModel

from core.chat.adapters import read_adapter
from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.data import sources
from core.data.readers import read_rows
from core.errors import StudioError
from core.models.catalogue import Model
from core.models.loading import LoadedBase, Precision, load_base
from tests.helpers.greedy import greedy_ids
from tests.helpers.tiny_model import make_adapter, tiny_llama

GREEDY = Sampling(temperature=0, max_new_tokens=24)
QUESTIONS = ["Hi.", "What is the capital of France, and which river runs through it?", "Tell me a joke about a cat."]


def ask(text):
    return [{"role": "user", "content": text}]


def lane(text, adapter=None, sampling=GREEDY, **more):
    return LaneRequest(ask(text), sampling, adapter, **more)


@pytest.fixture(scope="module")
def lanes(small_tokenizer, tmp_path_factory):
    """Lanes of a tiny model that answers words in no order: its weights are large and its layers' outputs untied."""
    shape = {"vocab_size": len(small_tokenizer), "eos_token_id": small_tokenizer.eos_token_id}
    model = tiny_llama(4, **shape, tie_word_embeddings=False, initializer_range=0.2).eval()
    adapter = make_adapter(model, tmp_path_factory.mktemp("adapter"), rank=4, seed=3)
    tiny_lanes = Lanes(LoadedBase(model, small_tokenizer))
    tiny_lanes.adapters.add("tuned", read_adapter(adapter, torch.float32, torch.device("cpu")))
    return tiny_lanes


@pytest.fixture(scope="module")
def full_answer(lanes):
    """The greedy answer to the second question, of 24 tokens, by itself."""
    return last(lanes.generate([lane(QUESTIONS[1])]))[0]


def with_stop(words):
    return GREEDY.model_copy(update={"stop": words})


def last(answers):
    *_, final = answers
    return final


def real_prompts(count):
    """The first questions of bundled conversations, of all lengths."""
    rows = [read.row for read in read_rows(sources.BUNDLED_FOLDER / "train.jsonl", "train.jsonl")]
    return [row["text"].split("### ")[1].removeprefix("Human: ").strip() for row in rows[:count]]


def expected_ids(model, renderer, prompts, guesses, tokens):
    """The tokens that transformers' generate answers to each prompt by itself; right guesses save its time."""
    eos = renderer.tokenizer.eos_token_id
    asked = [renderer.prompt_ids(ask(prompt)) for prompt in prompts]
    return [
        greedy_ids(model, ids, tokens, eos, guess, logits_to_keep=tokens + 1)
        for ids, guess in zip(asked, guesses, strict=True)
    ]


def answer_ids(lanes, prompts, names, tokens):
    """The answers of each lane, a question after the other, all its lanes in one batch."""
    sampling = Sampling(temperature=0, max_new_tokens=tokens)
    by_prompt = [last(lanes.generate([lane(prompt, name, sampling) for name in names])) for prompt in prompts]
    return [[answers[at].ids for answers in by_prompt] for at in range(len(names))]


@pytest.mark.slow
def test_lanes_greedy_answers_of_base_and_tuned_equal_generate(embedded_model, tmp_path):
    """At most eight sequences per batch, of unequal length, so that left padding is tested.

    Few and short prompts, since each token costs 0.3 GFLOP four times; the small Llama below answers more than 100.
    """
    model, precision = (
        Model("smol", "smol", str(embedded_model), local=True),
        Precision("none", compute_dtype="float32"),
    )
    # PEFT changes the modules of its model, so the lanes have one of their own.
    plain, lanes = load_base(model, precision).model, Lanes(load_base(model, precision))
    adapter = make_adapter(plain, tmp_path, rank=4, seed=3, scale=0.4)
    lanes.adapters.add("tuned", read_adapter(adapter, torch.float32, torch.device("cpu")))
    asked = [prompt.split() for prompt in real_prompts(104)[::13]]
    prompts, tokens = [" ".join(words[: 2 * number]) for number, words in enumerate(asked, 2)], 4
    sampling, found = Sampling(temperature=0, max_new_tokens=tokens), []
    for start in range(0, len(prompts), 4):
        part = prompts[start : start + 4]
        requests = [lane(prompt, name, sampling) for name in (None, "tuned") for prompt in part]
        answered_ids = [answer.ids for answer in last(lanes.generate(requests))]
        found += zip(answered_ids[: len(part)], answered_ids[len(part) :], strict=True)
    answered = {None: [base for base, _ in found], "tuned": [tuned for _, tuned in found]}

    expected = expected_ids(plain, lanes.renderer(), prompts, answered[None], tokens)
    assert answered[None] == expected
    tuned = PeftModel.from_pretrained(plain, adapter).eval()
    assert answered["tuned"] == expected_ids(tuned, lanes.renderer(), prompts, answered["tuned"], tokens)
    assert expected != answered["tuned"], "the adapter changes the answers"


@pytest.fixture(scope="module")
def small(tmp_path_factory, llama2_tokenizer):
    """A Llama of Llama 2's shape family (no grouped heads, 32,000 tokens), and two models tuned from it.

    In float64: its weights are random, so that two of 32,000 tokens are often equally likely in float32.
    """

    def fresh():
        return tiny_llama(
            vocab_size=32000, num_key_value_heads=4, tie_word_embeddings=False, max_position_embeddings=4096,
            dtype=torch.float64,
        ).eval()  # fmt: skip

    folders = {
        "wide": make_adapter(fresh(), tmp_path_factory.mktemp("wide"), rank=8, seed=4),
        "attention": make_adapter(fresh(), tmp_path_factory.mktemp("narrow"), rank=2, seed=5, targets=["q_proj"]),
    }
    small_lanes, models = Lanes(LoadedBase(fresh(), llama2_tokenizer)), {None: fresh()}
    for name, folder in folders.items():
        small_lanes.adapters.add(name, read_adapter(folder, torch.float64, torch.device("cpu")))
        models[name] = PeftModel.from_pretrained(fresh(), folder, autocast_adapter_dtype=False).double().eval()
    return small_lanes, models


@pytest.mark.parametrize("names", [["wide"], [None, "wide"], ["attention", None, "wide", None]], ids=len)
def test_lanes_greedy_answers_of_a_small_llama_2_equal_generate(small, names):
    lanes, models = small
    prompts = real_prompts(105)[::7]
    for name, answered in zip(names, answer_ids(lanes, prompts, names, 12), strict=True):
        assert answered == expected_ids(models[name], lanes.renderer(), prompts, answered, 12)


def test_lanes_same_seed_gives_the_same_text(lanes):
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=16, seed=7)
    first, second, other = last(
        lanes.generate([lane(QUESTIONS[1], sampling=sampling.model_copy(update={"seed": seed})) for seed in (7, 7, 8)])
    )
    assert first.text == second.text != other.text
    assert first.logprobs == pytest.approx(second.logprobs, abs=1e-4)


def test_lanes_early_end_leaves_other_lanes_going(lanes, full_answer):
    word = full_answer.text.split()[2]
    short, long = last(lanes.generate([lane(QUESTIONS[1], sampling=with_stop(word)), lane(QUESTIONS[1])]))
    assert (short.end, long.end) == ("stop word", "length")
    assert short.tokens < long.tokens
    assert long.text == full_answer.text


def test_lanes_stop_ends_all_answers_with_their_text(lanes):
    seen = []
    requests = [lane(QUESTIONS[0], adapter) for adapter in (None, "tuned")]
    for answers in lanes.generate(requests, is_stopped=lambda: len(seen) >= 3):
        seen.append([a.tokens for a in answers])
    assert {a.end for a in answers} == {"stopped"}
    assert {a.tokens for a in answers} == {4}


def test_lanes_stream_in_parallel(lanes):
    few = GREEDY.model_copy(update={"max_new_tokens": 8})
    requests = [lane(QUESTIONS[1], adapter, few) for adapter in (None, "tuned")]
    counts = [[a.tokens for a in answers] for answers in lanes.generate(requests)]
    assert counts[:5] == [[n, n] for n in range(2, 7)], "the first two come together"


def test_lanes_each_token_has_its_logprob_and_piece(lanes, full_answer):
    answer = full_answer
    assert len(answer.logprobs) == len(answer.pieces) == answer.tokens == len(answer.ids)
    assert "".join(answer.pieces) == answer.text
    ids = torch.tensor([[*lanes.render_prompt(lane(QUESTIONS[1]))[0], *answer.ids]])
    with torch.no_grad():
        expected = torch.log_softmax(lanes.model(ids).logits[0].float(), -1)
    start = ids.shape[1] - len(answer.ids) - 1
    own = [float(expected[start + at, token]) for at, token in enumerate(answer.ids)]
    assert answer.logprobs == pytest.approx(own, abs=1e-3)


def test_lanes_continued_answer_equals_the_uncut_one(lanes, full_answer):
    half = GREEDY.model_copy(update={"max_new_tokens": 10})
    (begun,) = last(lanes.generate([lane(QUESTIONS[1], sampling=half)]))
    (rest,) = last(lanes.generate([lane(QUESTIONS[1], sampling=half, prefix_ids=begun.ids)]))
    assert rest.ids == full_answer.ids[:20]
    assert rest.text.startswith(begun.text)
    assert (rest.prefix_tokens, rest.tokens) == (10, 20)


def test_lanes_answer_ends_before_a_stop_word(lanes, full_answer):
    word = full_answer.text.split()[3]
    (cut,) = last(lanes.generate([lane(QUESTIONS[1], sampling=with_stop(f"no such\n{word}"))]))
    assert cut.end == "stop word"
    assert cut.text == full_answer.text[: full_answer.text.index(word)]


def test_lanes_system_prompt_is_in_the_prompt(lanes):
    pirate = Sampling(temperature=0, max_new_tokens=4, system="You are a pirate.")
    assert "pirate" in lanes.base.tokenizer.decode(lanes.render_prompt(lane("Hi.", sampling=pirate))[0])


def test_lanes_too_long_question_is_refused_with_the_limit(lanes):
    with pytest.raises(StudioError, match="2,048"):
        last(lanes.generate([lane("word " * 9000)]))


def test_lanes_long_conversation_drops_oldest_messages_with_a_note(lanes, monkeypatch):
    monkeypatch.setattr(lanes, "context_length", lambda: 400)
    words = "word " * 40
    long = [{"role": role, "content": f"{role} {n} {words}"} for n in range(12) for role in ("user", "assistant")]
    request = LaneRequest([*long, *ask("And now?")], GREEDY.model_copy(update={"max_new_tokens": 2}))
    ids, (note,) = lanes.render_prompt(request)
    assert len(ids) + 2 <= 400
    left_out = int(re.search(r"the first (\d+) messages", note)[1])
    assert left_out % 2 == 0
    shown = lanes.base.tokenizer.decode(ids)
    assert f"user {left_out // 2} word" in shown
    assert f"user {left_out // 2 - 1} word" not in shown
    (answer,) = last(lanes.generate([request]))
    assert answer.note == note


def test_lanes_streamed_text_never_ends_in_half_a_character(lanes):
    for answers in lanes.generate([lane("Repeat exactly: 🎈🎈🎈")]):
        if not answers[0].end:
            assert not answers[0].text.endswith("\ufffd")
