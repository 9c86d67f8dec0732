"""Completions with echo and logprobs, compared with transformers and PEFT for each prompt alone."""

import openai
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from core.chat import forward

PROMPTS = ["A sea is", "The sailor waits for the tide. " * 6, "No"]


@pytest.fixture
def client(api):
    with api.client() as made:
        yield made


@pytest.fixture(scope="module")
def reference(served_store, run_ids):
    """Return the log-probabilities (length, vocabulary) of each text, by the model's name in the API."""
    folder = served_store.settings.models_dir / "tiny"
    tuned = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), served_store.run(run_ids[0]).adapter
    )
    models = {"tiny": AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), run_ids[0]: tuned}

    @torch.no_grad()
    def compute(name, ids):
        return torch.log_softmax(models[name].eval()(torch.tensor([ids])).logits[0], dim=-1)

    return compute


def check_against(reference, name, ids, logprobs, top):
    """Compare the probabilities of a prompt's tokens, and of the most likely ones, with the reference."""
    expected = reference(name, ids)
    assert logprobs.token_logprobs[0] is None
    assert logprobs.top_logprobs[0] is None
    for at in range(1, len(ids)):
        row = expected[at - 1]
        assert logprobs.token_logprobs[at] == pytest.approx(float(row[ids[at]]), abs=2e-4)
        found = sorted(logprobs.top_logprobs[at].values(), reverse=True)
        assert found[0] == pytest.approx(float(row.max()), abs=2e-4)
        # Tokens with the same text are one entry.
        assert 1 <= len(found) <= top


def test_echoed_prompts_have_the_probabilities_of_transformers(
    client, reference, run_ids, small_tokenizer, monkeypatch
):
    # Several batches, each read in several chunks.
    monkeypatch.setitem(forward.BATCH_TOKENS, "cpu", 40)
    monkeypatch.setattr(forward, "_MAX_CHUNK_TOKENS", 7)
    ids = [small_tokenizer(text)["input_ids"] for text in PROMPTS]
    for name in ("tiny", run_ids[0]):
        texts = client.completions.create(model=name, prompt=PROMPTS, max_tokens=0, echo=True, logprobs=3)
        tokens = client.completions.create(model=name, prompt=ids, max_tokens=0, echo=True, logprobs=3)
        assert [choice.logprobs for choice in tokens.choices] == [choice.logprobs for choice in texts.choices]
        assert texts.usage.prompt_tokens == sum(map(len, ids))
        assert texts.usage.completion_tokens == 0
        for text, own, choice in zip(PROMPTS, ids, texts.choices, strict=True):
            assert (choice.text, choice.finish_reason) == (text, "length")
            assert "".join(choice.logprobs.tokens) == text
            check_against(reference, name, own, choice.logprobs, 3)
            for offset, token in zip(choice.logprobs.text_offset, choice.logprobs.tokens, strict=True):
                assert text[offset:].startswith(token)


def test_echo_has_the_same_probabilities_as_the_written_answer(client, run_ids):
    """A harness asks whether a text is the greedy answer: each token is then exactly the most likely one."""
    asked = {"model": run_ids[0], "temperature": 0, "logprobs": 1}
    written = client.completions.create(prompt="A sea is", max_tokens=8, echo=True, **asked).choices[0]
    again = client.completions.create(prompt="A sea is", max_tokens=0, echo=True, **asked).choices[0]
    count = len(again.logprobs.tokens)
    assert written.logprobs.token_logprobs[1:count] == again.logprobs.token_logprobs[1:]
    for logprob, top in zip(
        written.logprobs.token_logprobs[count:], written.logprobs.top_logprobs[count:], strict=True
    ):
        assert logprob == max(top.values())
    streamed = list(client.completions.create(prompt="A sea is", max_tokens=8, echo=True, stream=True, **asked))
    choices = [choice for chunk in streamed for choice in chunk.choices]
    assert "".join(choice.text for choice in choices) == written.text
    offsets = [offset for choice in choices if choice.logprobs for offset in choice.logprobs.text_offset]
    assert offsets == written.logprobs.text_offset


def test_echo_without_probabilities_returns_prompts_of_both_kinds(client, small_tokenizer):
    ids = small_tokenizer(PROMPTS[0])["input_ids"]
    for prompt in (PROMPTS[0], ids):
        found = client.completions.create(model="tiny", prompt=prompt, max_tokens=1, temperature=0, echo=True, n=2)
        assert len({choice.text for choice in found.choices}) == 1
        assert found.choices[0].text.startswith(PROMPTS[0])
        assert found.choices[0].logprobs is None
        assert found.usage.prompt_tokens == len(ids)


def test_prompt_of_one_token_has_no_probability(client):
    found = client.completions.create(model="tiny", prompt=[9], max_tokens=0, echo=True, logprobs=1)
    assert found.choices[0].logprobs.token_logprobs == [None]


@pytest.mark.parametrize(
    ("prompt", "message"), [([4_000_000], "holds the token 4000000"), ([-1], "holds the token -1"), ("", "is empty")]
)
def test_prompt_without_known_tokens_is_refused(client, prompt, message):
    with pytest.raises(openai.BadRequestError, match=message):
        client.completions.create(model="tiny", prompt=prompt, max_tokens=1)


def test_score_that_is_no_number_fails_its_own_request(api, client, monkeypatch):
    score = forward._score

    def broken(logits, labels, top):
        return score(logits * float("nan"), labels, top)

    monkeypatch.setattr(forward, "_score", broken)
    with pytest.raises(openai.BadRequestError, match="computes no numbers any more"):
        client.completions.create(model="tiny", prompt="A sea", max_tokens=0, echo=True, logprobs=1)
    monkeypatch.setattr(forward, "_score", score)
    assert client.completions.create(model="tiny", prompt="A sea", max_tokens=1, temperature=0).choices[0].text
