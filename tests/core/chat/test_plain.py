"""The plain decoder, used for positions that depend on the text's length, gives the tokens of `generate`."""

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import Phi3Config, Phi3ForCausalLM

from core.chat import probe
from core.chat.adapters import RowAdapters
from core.chat.decoder import TokenSequence
from core.chat.lanes import Lanes
from core.chat.plain import PlainDecoder
from core.models import support
from core.models.loading import LoadedBase
from tests.helpers.tiny_model import make_adapter, tiny_llama

# Rotary angles depend on the length of texts with more tokens than this.
LIMIT = 16


def longrope():
    torch.manual_seed(0)
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8,
            "long_factor": [3.0 + n for n in range(8)], "original_max_position_embeddings": LIMIT}  # fmt: skip
    return Phi3ForCausalLM(Phi3Config(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, original_max_position_embeddings=LIMIT, pad_token_id=0,
        rope_parameters=rope, initializer_range=0.3,
    ))  # fmt: skip


def dynamic():
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    return tiny_llama(
        vocab_size=128, max_position_embeddings=LIMIT, rope_parameters=rope, initializer_range=0.3,
        tie_word_embeddings=False,
    )  # fmt: skip


MODELS = {"longrope": longrope, "dynamic": dynamic}
# Short and long alone, crossing the limit within the answer, and longer than a chunk of the batched decoder.
PROMPTS = [[at + 3 for at in range(length)] for length in (5, LIMIT - 3, LIMIT + 5, 9, 60, LIMIT, LIMIT + 1)]
NEW = 8


def make_model(name):
    return MODELS[name]().eval().requires_grad_(False)


def generate_ids(name, prompt):
    """Return what a newly built model generates."""
    ids = torch.tensor([prompt])
    out = make_model(name).generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW,
        min_new_tokens=NEW,
        do_sample=False,
        eos_token_id=None,
    )
    return out[0, len(prompt) :].tolist()


def row(prompt, found):
    def take(logits):
        found.append(int(logits.argmax()))
        return found[-1] if len(found) < NEW else None

    return TokenSequence(prompt, None, take, max_new_tokens=NEW)


@pytest.mark.parametrize("name", MODELS)
def test_plain_decoder_mixed_batch_equals_each_prompt_alone(name, tokenizer):
    lanes = Lanes(LoadedBase(make_model(name), tokenizer))
    assert support.length_limit(lanes.model.config) == LIMIT
    assert f"{LIMIT} tokens are decoded one at a time" in lanes.decoding_note
    decoder, found = lanes.decoder(), [[] for _ in PROMPTS]
    decoder.join([row(prompt, texts) for prompt, texts in zip(PROMPTS, found, strict=True)])
    assert len(decoder.batched.sequences) == sum(len(prompt) + NEW <= LIMIT for prompt in PROMPTS)
    while decoder.step():
        pass
    assert found == [generate_ids(name, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("name", MODELS)
def test_plain_decoder_adapter_beyond_the_length_limit_equals_peft(name, tokenizer, tmp_path):
    folder = make_adapter(make_model(name), tmp_path / "adapter", rank=4, seed=1, scale=1.0)
    lanes, prompt, found = Lanes(LoadedBase(make_model(name), tokenizer)), PROMPTS[2], []
    lanes.add_adapter("run/final", folder)
    assert not lanes.adapters.unbatched_reason("run/final"), "only the length asks for the plain decoder"
    decoder = lanes.decoder()
    decoder.join([replace(row(prompt, found), adapter="run/final")])
    while decoder.step():
        pass
    tuned, ids = PeftModel.from_pretrained(make_model(name), folder).eval(), torch.tensor([prompt])
    settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "eos_token_id": None}
    out = tuned.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
    assert found == out[0, len(prompt) :].tolist()


def test_plain_decoder_unbatched_model_interleaves_or_finishes_one_by_one(tokenizer):
    model = tiny_llama(vocab_size=128).eval()
    for can_interleave, expected in ((True, [1, 1]), (False, [1, 0])):
        found = [[], []]
        decoder = PlainDecoder(model, RowAdapters(model), can_interleave)
        decoder.join([row([5, 6, 7], texts) for texts in found])
        decoder.step()
        assert [len(texts) for texts in found] == expected
        while decoder.step():
            pass
        assert found[0] == found[1]
        assert decoder.sequences == []


def test_plain_decoder_cancelled_sequence_ends_before_its_next_token(tokenizer):
    model = tiny_llama(vocab_size=128).eval()
    decoder, found = PlainDecoder(model, RowAdapters(model)), []
    decoder.join([TokenSequence([5, 6], None, lambda logits: found.append(1) or 7, lambda: len(found) >= 2)])
    for _ in range(3):
        decoder.step()
    assert len(found) == 2
    assert decoder.sequences == []


def test_probe_detects_a_model_that_ignores_the_padding_mask(monkeypatch):
    model = tiny_llama(vocab_size=128).eval()
    assert probe.decoder_failure(model, 0) == ""
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda attention_mask=None, **rest: forward(**rest))
    assert "other logits in a batch" in probe.decoder_failure(model, 0)
