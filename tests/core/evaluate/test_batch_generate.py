"""Batched answers against transformers' generate and PEFT one by one, and the size and end of batches."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from core.chat.adapters import read_adapter
from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.data import subset
from core.errors import StudioError
from core.evaluate.batch_generate import BatchGenerator, prompt_seed
from core.evaluate.prompts import Prompts, parse_prompt
from core.models.catalogue import Model
from core.models.loading import LoadedBase, Precision, load_base
from tests.helpers.greedy import greedy_ids
from tests.helpers.tiny_model import tiny_llama

NEW_TOKENS = 6


def write_prompts(path, prompts):
    path.write_text("".join(json.dumps({"messages": p.messages, "reference": p.reference}) + "\n" for p in prompts))
    return Prompts(path)


def generate_all(generator, rows, known=()):
    """Return every answer by (prompt, lane)."""
    generator.max_sequences = rows
    missing, found = generator.list_missing(known), {}
    for lines in generator.generate(missing, generator.plan_batch(missing[0].tokens), lambda: True):
        for line in lines:
            assert (line["prompt"], line["lane"]) not in found, "answered twice"
            found[line["prompt"], line["lane"]] = line
    return found


@pytest.mark.slow
def test_batch_generator_greedy_equals_generate_of_each_model_alone(runs, embedded_model, tmp_path):
    model = Model("smol", "smol", str(embedded_model), local=True)
    precision = Precision("none", compute_dtype="float32")
    plain = load_base(model, precision).model
    torch.manual_seed(3)
    shape = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = get_peft_model(plain, shape)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data *= 0.4
    tuned.save_pretrained(tmp_path / "adapter")
    tuned.unload()
    rows = list(subset.stream(runs.settings, "keeper"))[::28]
    # Cut to different lengths: reading the whole questions takes most of the time.
    asked = [(row, messages[0]["content"].split()[: 4 + 2 * number]) for number, (_, row, messages) in enumerate(rows)]
    parsed = [parse_prompt([{"role": "user", "content": " ".join(words)}], row) for row, words in asked]
    prompts = write_prompts(tmp_path / "p.jsonl", parsed)
    lanes = Lanes(load_base(model, precision))
    lanes.adapters.add("tuned", read_adapter(tmp_path / "adapter", torch.float32, torch.device("cpu")))
    sampling = Sampling(temperature=0, max_new_tokens=NEW_TOKENS)
    generator = BatchGenerator(lanes, [LaneRequest([], sampling), LaneRequest([], sampling, "tuned")], prompts)
    missing = generator.list_missing([])
    lengths = [one.tokens for one in missing]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 8, "lengths must differ"
    found = generate_all(generator, rows=11)
    assert len(found) == 2 * len(prompts) >= 24
    for lane in range(2):
        alone = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval() if lane else plain
        for number, prompt in enumerate(prompts):
            text, read = found[number, lane]["text"], lanes.base.tokenizer
            guess = read.encode(text, add_special_tokens=False)
            ids = lanes.renderer().prompt_ids(prompt.messages)
            expected = greedy_ids(alone, ids, NEW_TOKENS, read.eos_token_id, guess, logits_to_keep=NEW_TOKENS + 1)
            assert text == read.decode(expected, skip_special_tokens=True)
    assert any(found[n, 0]["text"] != found[n, 1]["text"] for n in range(len(prompts)))


@pytest.fixture
def make_generator(small_tokenizer, tmp_path):
    """Return a function that makes a generator with a tiny model: one lane per sampling, questions of many lengths."""
    shape = {"vocab_size": len(small_tokenizer), "eos_token_id": small_tokenizer.eos_token_id}
    lanes = Lanes(LoadedBase(tiny_llama(**shape, max_position_embeddings=160), small_tokenizer))

    def make(*samplings, prompts=9, long=False):
        asked = [parse_prompt([{"role": "user", "content": f"{'why ' * (n * n)}{n}?"}], n) for n in range(prompts)]
        if long:
            asked.append(parse_prompt([{"role": "user", "content": "why " * 500}], prompts))
        return BatchGenerator(
            lanes, [LaneRequest([], s) for s in samplings], write_prompts(tmp_path / "p.jsonl", asked)
        )

    return make


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0, max_new_tokens=12, stop="e\nzz"),
        Sampling(temperature=0, max_new_tokens=12, repetition_penalty=1.3),
        Sampling(temperature=1, max_new_tokens=12, seed=5),
    ],
    ids=["stop words", "penalty", "sampled"],
)
def test_batch_generator_any_batch_size_gives_the_answers_of_the_chat(make_generator, sampling):
    generator = make_generator(sampling)
    found = generate_all(generator, rows=4)
    assert {key: line["text"] for key, line in generate_all(generator, rows=1).items()} == {
        key: line["text"] for key, line in found.items()
    }
    for number, prompt in enumerate(generator.prompts):
        own = sampling.model_copy(update={"seed": prompt_seed(sampling.seed, number)})
        *_, (chat,) = generator.lanes.generate([LaneRequest(prompt.messages, own)])
        line = found[number, 0]
        assert (line["text"], line["tokens"], line["end"]) == (chat.text, chat.tokens, chat.end)


@pytest.mark.parametrize("temperature", [0, 1])
def test_batch_generator_model_without_numbers_fails_each_answer_with_the_reason(make_generator, temperature):
    generator = make_generator(Sampling(temperature=temperature, max_new_tokens=8), prompts=3)
    generator.lanes.model.lm_head.weight.data.fill_(torch.nan)
    found = generate_all(generator, rows=3)
    assert [line["end"] for line in found.values()] == ["failed"] * 3
    assert all(line["note"].startswith("The model computes no numbers any more") for line in found.values())


def test_list_missing_skips_answered_prompts_and_lists_too_long_ones_as_failures(make_generator):
    generator = make_generator(
        Sampling(temperature=0, max_new_tokens=4), Sampling(temperature=0, max_new_tokens=5), long=True
    )
    found = generate_all(generator, rows=3, known={(n, lane) for n in range(8) for lane in range(2)})
    assert set(found) == {(8, 0), (8, 1)}
    refused = {(line["prompt"], line["lane"]): line for line in generator.failures}
    assert set(refused) == {(9, 0), (9, 1)}
    assert refused[9, 0]["end"] == "failed"
    assert "exceeds what the model can read" in refused[9, 0]["note"]


def test_generate_not_continued_finishes_running_answers_only(make_generator):
    generator = make_generator(Sampling(temperature=0, max_new_tokens=6))
    generator.max_sequences = 3
    missing = generator.list_missing([])
    may = iter([True])
    found = [
        line
        for lines in generator.generate(missing, generator.plan_batch(99), lambda: next(may, False))
        for line in lines
    ]
    assert sorted(line["prompt"] for line in found) == sorted(one.prompt for one in missing[:3])
    assert (generator.begun, generator.joined) == (3, 3)


def test_generate_counts_answers_that_have_begun(make_generator, monkeypatch):
    # Each prompt is read alone.
    monkeypatch.setattr("core.chat.lanes.OFFLINE_GROUP_TOKENS", 1)
    generator = make_generator(Sampling(temperature=0, max_new_tokens=6))
    generator.max_sequences = 3
    missing = generator.list_missing([])[:3]
    counts = [generator.begun for _ in generator.generate(missing, generator.plan_batch(99), lambda: True)]
    assert counts[:3] == [1, 2, 3]


def test_plan_batch_limits_sequences_by_free_memory(make_generator, monkeypatch):
    generator = make_generator(Sampling(temperature=0, max_new_tokens=100))
    row = 150 * generator.lanes.bytes_per_token()

    def free(rows):
        monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2 * rows * row})())

    free(rows=10**6)
    assert generator.plan_batch(50).sequences == 64
    assert "auto" in generator.plan_batch(50).note
    free(rows=5)
    budget = generator.plan_batch(50)
    assert (budget.sequences, budget.tokens) == (5, 750)
    assert "no more fit into 50% of the free memory" in budget.note
    free(rows=0.5)
    with pytest.raises(StudioError, match="Lower the length"):
        generator.plan_batch(50)


def test_prompt_seed_differs_by_prompt_and_not_by_lane(make_generator, tmp_path):
    hot = Sampling(temperature=1, max_new_tokens=8, seed=5)
    generator = make_generator(hot, hot)
    asked = [parse_prompt([{"role": "user", "content": "Why?"}], n) for n in range(6)]
    generator.prompts = write_prompts(tmp_path / "equal.jsonl", asked)
    found = generate_all(generator, rows=5)
    assert len({found[number, 0]["text"] for number in range(6)}) == 6
    assert all(found[number, 0]["text"] == found[number, 1]["text"] for number in range(6))


def test_generate_prompt_rejected_by_template_fails_alone_with_its_reason(make_generator, tmp_path, monkeypatch):
    generator = make_generator(Sampling(temperature=0, max_new_tokens=4))
    rows = [
        [{"role": "user", "content": "Good morning"}],
        [{"role": "system", "content": "Write a haiku about the sea."}],
        [{"role": "tool", "content": "{}"}],
        [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Who are you?"}],
    ]
    asked = [parse_prompt(messages, at) for at, messages in enumerate(rows)]
    generator.prompts = write_prompts(tmp_path / "odd.jsonl", asked)
    renderer = generator.lanes.renderer()
    whole = renderer.prompt_ids

    def refusing(messages, *limit):
        if messages[0]["role"] == "tool":
            raise ValueError("a tool without a question")
        return whole(messages, *limit)

    monkeypatch.setattr(renderer, "prompt_ids", refusing)
    found = generate_all(generator, rows=2)
    assert set(found) == {(0, 0), (1, 0), (3, 0)}
    assert all(not line["note"] for line in found.values())
    (refused,) = generator.failures
    assert (refused["prompt"], refused["end"]) == (2, "failed")
    assert "a tool without a question" in refused["note"]
    assert "pirate" in generator.lanes.base.tokenizer.decode(whole(rows[3]))


def test_batch_generator_counts_the_end_token_like_the_chat(make_generator):
    generator = make_generator(Sampling(temperature=0, max_new_tokens=5), prompts=2)
    lanes = generator.lanes
    # Every other token ends an answer.
    lanes._eos = {token for token in range(len(lanes.base.tokenizer)) if token % 2}
    found = generate_all(generator, rows=2)
    for number, prompt in enumerate(generator.prompts):
        *_, (chat,) = lanes.generate([LaneRequest(prompt.messages, generator.requests[0].sampling)])
        assert chat.tokens == found[number, 0]["tokens"]
        assert chat.tokens == len(chat.ids) + (chat.end == "end")
