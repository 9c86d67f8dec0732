"""Probe of the batched decoder in half precision, whose rounding differs between a batch and a text alone."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.chat.decoder import Decoder
from core.chat.probe import can_interleave, decoder_failure


@pytest.fixture(scope="module")
def rounded_model(embedded_model):
    """Return the embedded model in bfloat16."""
    return AutoModelForCausalLM.from_pretrained(embedded_model, dtype=torch.bfloat16).eval()


def test_rounding_of_half_precision_is_no_failure(rounded_model):
    with torch.no_grad():
        assert decoder_failure(rounded_model, 0) == ""
        assert can_interleave(rounded_model)


def test_visible_padding_is_a_failure_in_half_precision(rounded_model, monkeypatch):
    make_batch = Decoder.join

    def join_with_padding(self, sequences):
        for sequence in sequences:
            sequence.prompt_ids = [self._pad, *sequence.prompt_ids]
        make_batch(self, sequences)

    monkeypatch.setattr(Decoder, "join", join_with_padding)
    with torch.no_grad():
        assert "gives other logits in a batch than alone" in decoder_failure(rounded_model, 0)
