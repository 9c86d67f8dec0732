"""Lanes against transformers' generate and PEFT, row by row; the base stays the bare base whatever happened before."""

from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from peft import LoraConfig, PeftModel, get_peft_model
from tiny import tiny_llama

from core.chat.adapters import read_adapter
from core.chat.lanes import Lanes, pick
from core.chat.sampling import Sampling
from core.data import sources
from core.data.readers import read_rows
from core.errors import StudioError
from core.models.catalogue import Model
from core.models.loading import LoadedBase, Precision, load_base

GREEDY = Sampling(temperature=0, max_new_tokens=24)
QUESTIONS = ["Hi.", "What is the capital of France, and which river runs through it?", "Tell me a joke about a cat."]


def ask(text):
    return [{"role": "user", "content": text}]


def make_adapter(model, folder, rank, seed, targets="all-linear", rslora=False):
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False,
        use_rslora=rslora,
    )  # fmt: skip
    tuned = get_peft_model(model, config)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data *= 0.2
    tuned.save_pretrained(folder)
    tuned.unload()
    return folder


@pytest.fixture(scope="module")
def model(embedded_model):
    return Model("smol", "smol", str(embedded_model), local=True)


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    base = load_base(model, Precision("none", compute_dtype="float32")).model
    return make_adapter(base, tmp_path_factory.mktemp("adapter"), rank=4, seed=3)


@pytest.fixture(scope="module")
def lanes(model, adapter):
    made = Lanes(load_base(model, Precision("none", compute_dtype="float32")))
    made.adapters.add("tuned", read_adapter(adapter, torch.float32, torch.device("cpu")))
    return made


def last(answers):
    *_, final = answers
    return final


def generated(model, lanes, conversation):
    ids = torch.tensor([lanes.renderer.prompt_ids(conversation)])
    with torch.no_grad():
        out = model.generate(ids, do_sample=False, max_new_tokens=GREEDY.max_new_tokens, attention_mask=ids.ne(-1))
    return lanes.base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.slow
def test_greedy_text_equals_generate_alone_for_both_lanes(model, adapter, lanes):
    """Prompts of unequal length in one batch, where left padding goes wrong elsewhere."""
    prompts = [row["text"].split("### ")[1].removeprefix("Human: ") for row in _heldout()][:6]
    plain = load_base(model, Precision("none", compute_dtype="float32")).model
    expected = [generated(plain, lanes, ask(p)) for p in prompts]
    tuned = PeftModel.from_pretrained(plain, adapter).eval()
    expected += [generated(tuned, lanes, ask(p)) for p in prompts]
    keys = [None] * len(prompts) + ["tuned"] * len(prompts)
    answers = last(lanes.answer([ask(p) for p in prompts] * 2, keys, GREEDY))
    assert [a.text for a in answers] == expected
    assert expected[: len(prompts)] != expected[len(prompts) :]


def _heldout():
    return [read.row for read in read_rows(sources.BUNDLED_FOLDER / "heldout.jsonl", "heldout.jsonl")]


def test_the_same_seed_gives_two_lanes_of_one_model_the_same_text(lanes):
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=16, seed=7)
    first, second = last(lanes.answer([ask(QUESTIONS[1])] * 2, [None, None], sampling))
    assert first.text == second.text
    other = last(lanes.answer([ask(QUESTIONS[1])], [None], sampling.model_copy(update={"seed": 8})))[0]
    assert other.text != first.text


def test_a_lane_that_ends_early_leaves_the_others_going(lanes):
    short, long = last(lanes.answer([ask("Say only the word yes."), ask(QUESTIONS[1])], [None, None], GREEDY))
    assert {short.end, long.end} <= {"end", "length"}
    alone = last(lanes.answer([ask(QUESTIONS[1])], [None], GREEDY))[0]
    assert long.text == alone.text


def test_stop_ends_every_lane_with_what_is_there(lanes):
    seen = []
    for answers in lanes.answer([ask(QUESTIONS[0])] * 2, [None, "tuned"], GREEDY, stopped=lambda: len(seen) >= 2):
        seen.append([a.tokens for a in answers])
    assert len(seen) == 3
    assert {a.end for a in answers} == {"stopped"}


def test_both_lanes_stream_at_the_same_time(lanes):
    counts = [[a.tokens for a in answers] for answers in lanes.answer([ask(QUESTIONS[1])] * 2, [None, "tuned"], GREEDY)]
    assert counts[:5] == [[n, n] for n in range(1, 6)]


def test_a_system_prompt_is_part_of_the_prompt(lanes):
    told = Sampling(temperature=0, max_new_tokens=4, system="You are a pirate.")
    assert len(lanes._prompt(ask("Hi."), told)) > 0
    assert "pirate" in lanes.base.tokenizer.decode(lanes._prompt(ask("Hi."), told))


def test_what_does_not_fit_is_refused_with_the_numbers(lanes):
    with pytest.raises(StudioError, match="8192"):
        last(lanes.answer([ask("word " * 9000)], [None], GREEDY))


def test_half_a_character_is_held_back(lanes):
    conversation = ask("Repeat exactly: 🎈🎈🎈")
    for answers in lanes.answer([conversation], [None], GREEDY):
        if not answers[0].end:
            assert not answers[0].text.endswith("\ufffd")


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 1.0])
def test_top_p_picks_among_the_likeliest_only(top_p):
    logits = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])
    probabilities = torch.softmax(logits, -1)
    allowed = {int(i) for i in range(5) if probabilities[:i].sum() < top_p}
    generator = torch.Generator().manual_seed(0)
    seen = {pick(logits, Sampling(temperature=1, top_p=top_p), generator) for _ in range(400)}
    assert seen <= allowed
    assert 0 in seen


def test_sampled_shares_follow_the_probabilities():
    logits = torch.tensor([1.0, 0.0, -1.0])
    generator = torch.Generator().manual_seed(1)
    drawn = torch.bincount(
        torch.tensor([pick(logits, Sampling(temperature=1, top_p=1), generator) for _ in range(4000)]), minlength=3
    )
    torch.testing.assert_close(drawn / 4000, torch.softmax(logits, -1), atol=0.03, rtol=0)


class Sequences(RuleBasedStateMachine):
    """Any sequence of adding, asking, stopping and forgetting leaves the base lane's logits those of the bare base."""

    folders: ClassVar[dict] = {}

    @initialize()
    def load(self):
        self.base = LoadedBase(tiny_llama(vocab_size=len(self.tokenizer)).eval(), self.tokenizer)
        self.ids = torch.tensor([[5, 9, 44, 301]])
        with torch.no_grad():
            self.bare = self.base.model(self.ids).logits
        self.lanes = Lanes(self.base)

    @rule(name=st.sampled_from(["small", "attention"]))
    def add(self, name):
        self.lanes.adapters.add(name, read_adapter(self.folders[name], torch.float32, torch.device("cpu")))

    @rule(stop_after=st.integers(0, 4), seed=st.integers(0, 3))
    def ask(self, stop_after, seed):
        keys = [None, *sorted(self.lanes.adapters._adapters)]
        sampling = Sampling(temperature=1, max_new_tokens=3, seed=seed)
        stream = self.lanes.answer([ask("Hi.")] * len(keys), keys, sampling)
        for _ in range(stop_after):
            next(stream, None)
        stream.close()  # the browser left in the middle of an answer

    @precondition(lambda self: hasattr(self, "lanes"))
    @rule(kept=st.sets(st.sampled_from(["small", "attention"])))
    def forget(self, kept):
        self.lanes.adapters.keep_only(kept & set(self.lanes.adapters._adapters))

    @rule()
    def base_alone(self):
        with torch.no_grad():
            assert torch.equal(self.base.model(self.ids).logits, self.bare)

    @rule()
    def base_beside_a_tuned_lane(self):
        keys = sorted(self.lanes.adapters._adapters)
        self.lanes.adapters.set_rows([None, *keys[:1]])
        with torch.no_grad():
            both = self.base.model(self.ids.repeat(1 + len(keys[:1]), 1)).logits
        self.lanes.adapters.set_rows([])
        torch.testing.assert_close(both[:1], self.bare, rtol=1e-5, atol=1e-6)
        if keys:
            assert not torch.allclose(both[1], self.bare[0], atol=1e-4)


@pytest.mark.slow
def test_the_base_stays_the_base_after_any_sequence(tokenizer, tmp_path):
    fresh = lambda: tiny_llama(vocab_size=len(tokenizer))  # noqa: E731
    Sequences.folders = {
        "small": make_adapter(fresh(), tmp_path / "small", rank=2, seed=1),
        "attention": make_adapter(fresh(), tmp_path / "attention", rank=8, seed=2, targets=["q_proj"], rslora=True),
    }
    Sequences.tokenizer = tokenizer
    run_state_machine_as_test(
        Sequences,
        settings=settings(
            max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
