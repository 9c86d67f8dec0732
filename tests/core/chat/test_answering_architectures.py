"""Every family of models in the decoders of Chat and Evaluate against transformers' and PEFT's own `generate`."""

import copy
import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.evaluate.batch_generate import BatchGenerator
from core.evaluate.prompts import Prompts
from core.models import support
from core.models.loading import LoadedBase
from tests.helpers.answering_architectures import EXTRA, ONE_AT_A_TIME, TARGETS, build
from tests.helpers.greedy import greedy_ids

# Tokens of an answer.
NEW = 5
PROMPTS = [
    "Hi.", "Tell me a long story about a lighthouse keeper and his dog please, in ten lines.", "Yes", "Why?",
    "Count to three.", "What is the capital of France?", "A", "Name two rivers and a sea.",
]  # fmt: skip
GREEDY = Sampling(temperature=0, max_new_tokens=NEW)


def adapter_of(model, folder, targets):
    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
    tuned = get_peft_model(copy.deepcopy(model), config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    tuned.save_pretrained(folder)
    return folder


def generated(model, lanes, prompts, answers):
    """Return the text that `generate` gives for each prompt by itself; the answers of the lanes save its time."""
    tokenizer, texts = lanes.base.tokenizer, []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = lanes.renderer().prompt_ids([{"role": "user", "content": prompt}])
        expected = greedy_ids(model, ids, NEW, tokenizer.eos_token_id, answer.ids)
        texts.append(tokenizer.decode(expected, skip_special_tokens=True))
    return texts


def evaluated(lanes, path):
    """Return the text of each prompt in both lanes, by an evaluation of at most five sequences at once."""
    path.write_text("".join(json.dumps({"messages": [{"role": "user", "content": p}]}) + "\n" for p in PROMPTS))
    generator = BatchGenerator(
        lanes, [LaneRequest([], GREEDY), LaneRequest([], GREEDY, "tuned")], Prompts(path), max_sequences=5
    )
    missing, found = generator.list_missing([]), {}
    for lines in generator.generate(missing, generator.plan_batch(missing[0].tokens), lambda: True):
        found |= {(line["lane"], line["prompt"]): line["text"] for line in lines}
    return [[found[lane, at] for at in range(len(PROMPTS))] for lane in range(2)]


@pytest.mark.parametrize("name", EXTRA)
def test_architecture_base_and_tuned_text_equal_generate(name, small_tokenizer, tmp_path):
    model = build(name, len(small_tokenizer))
    folder = adapter_of(model, tmp_path / "adapter", TARGETS.get(name, "all-linear"))
    assert support.unanswerable_reason(model.config) is None
    lanes = Lanes(LoadedBase(model, small_tokenizer))
    assert bool(lanes.unbatched_reason) == (name in ONE_AT_A_TIME), lanes.decoding_note
    lanes.add_adapter("tuned", folder)
    asked = [
        LaneRequest([{"role": "user", "content": prompt}], GREEDY, key) for prompt in PROMPTS for key in (None, "tuned")
    ]
    *_, answers = lanes.generate(asked)
    tuned = PeftModel.from_pretrained(build(name, len(small_tokenizer)), folder).eval()
    expected = generated(build(name, len(small_tokenizer)), lanes, PROMPTS, answers[::2])
    expected_tuned = generated(tuned, lanes, PROMPTS, answers[1::2])
    assert expected != expected_tuned, "the adapter says something else"
    # Half a character at the end of a text is left out.
    whole = [[text.rstrip("\ufffd") for text in texts] for texts in (expected, expected_tuned)]
    assert [[answer.text for answer in answers[lane::2]] for lane in range(2)] == whole
    assert evaluated(lanes, tmp_path / "prompts.jsonl") == whole
