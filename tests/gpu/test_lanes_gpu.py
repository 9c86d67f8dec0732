"""Lanes on a GPU: every lane's logits are those of its model alone, within bf16's rounding."""

import contextlib
import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from core.chat.adapters import RowAdapters, read_adapter
from core.chat.decoder import Decoder, TokenSequence
from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.models.catalogue import Model
from core.models.loading import Precision, load_base

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

# A share of the logits' length: bf16 keeps 8 bits, and a batch adds in another order.
TOLERANCE = 0.02
TOKENS = 24
# Tokens of each of a hundred answers: transformers answers one by one, and slowly.
SHORT = 6
# by its path: core.data.sources reads with DuckDB, which a GPU host may lack
BUNDLED = Path(__file__).parents[2] / "core" / "data" / "bundled" / "keeper" / "train.jsonl"


def make_model():
    """Return a model of Llama 2's shape family: no grouped heads, 32,000 tokens."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16
    )
    return LlamaForCausalLM(config).to("cuda", torch.bfloat16).eval()


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    folders = {}
    for name, rank, targets in (("small", 4, ["q_proj", "v_proj"]), ("large", 32, "all-linear")):
        torch.manual_seed(rank)
        shape = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights=False)
        tuned = get_peft_model(make_model(), shape)
        for key, parameter in tuned.named_parameters():
            if "lora_" in key:
                parameter.data *= 0.2
        folders[name] = tmp_path_factory.mktemp(name)
        tuned.save_pretrained(folders[name])
    return folders


class RecordingSequence:
    """A greedy sequence that records its logits."""

    def __init__(self, ids, adapter):
        self.ids, self.adapter, self.logits, self.tokens = ids, adapter, [], []
        self.row = TokenSequence(ids, adapter, self.take)

    def take(self, logits):
        self.logits.append(logits.float())
        self.tokens.append(int(logits.argmax()))
        return self.tokens[-1] if len(self.tokens) < TOKENS else None


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_logits_of_every_lane_equal_its_model_alone(adapters, lanes):
    model = make_model()
    rows = RowAdapters(model)
    for name, folder in adapters.items():
        rows.add(name, read_adapter(folder, torch.bfloat16, torch.device("cuda")))
    decoder, generator = Decoder(model, rows, chunk=64), torch.Generator().manual_seed(1)
    names = [None, "large", "small", None][:lanes]
    sequences = [
        RecordingSequence(torch.randint(3, 32000, (length,), generator=generator).tolist(), name)
        for length, name in zip((31, 150, 7, 90), names, strict=False)
    ]
    decoder.join([sequence.row for sequence in sequences[:2]])
    decoder.step()
    if sequences[2:]:
        decoder.join([sequence.row for sequence in sequences[2:]])
    while decoder.step():
        pass
    worst = 0.0
    for sequence in sequences:
        alone = make_model()
        if sequence.adapter:
            alone = PeftModel.from_pretrained(alone, adapters[sequence.adapter]).eval()
        ids = torch.tensor([sequence.ids + sequence.tokens[:-1]], device="cuda")
        with torch.inference_mode():
            expected = alone(ids).logits[0, -TOKENS:].float()
        found = torch.stack(sequence.logits)
        worst = max(worst, float((found - expected).norm() / expected.norm()))
        # Another token may be taken only where two are nearly as likely.
        for at, token in enumerate(sequence.tokens):
            assert expected[at].max() - expected[at, token] <= TOLERANCE * expected[at].norm()
    print(f"{lanes} lanes: logits differ by {worst:.4f} of their length at most")
    assert worst <= TOLERANCE


def smol_adapter(folder, target):
    """Save an adapter that changes the embedded model's answers."""
    torch.manual_seed(3)
    shape = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = get_peft_model(smol_base(folder, "float32").model, shape)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data *= 0.2
    tuned.save_pretrained(target)
    return target


def smol_base(folder, dtype):
    return load_base(Model("smol", "smol", str(folder), local=True), Precision("none", compute_dtype=dtype))


@pytest.fixture(scope="module")
def tuned(smol, tmp_path_factory):
    return smol_adapter(smol, tmp_path_factory.mktemp("tuned"))


@pytest.fixture(scope="module")
def prompts():
    """Return the first questions of a hundred bundled conversations, of all lengths."""
    with BUNDLED.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(100), strict=False)]
    return [text.split("### ")[1].removeprefix("Human: ").strip() for text in texts]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def smol_lanes(request, smol, tuned, prompts):
    """Return lanes, the model that PEFT makes of the same base, and the answers of base and tuned alone."""
    studio_lanes = Lanes(smol_base(smol, request.param))
    studio_lanes.adapters.add("tuned", read_adapter(tuned, studio_lanes.model.dtype, studio_lanes.model.device))
    base = smol_base(smol, request.param).model.eval()
    alone = {None: answers_alone(base, studio_lanes, prompts)}
    changed = PeftModel.from_pretrained(base, tuned).eval()
    alone["tuned"] = answers_alone(changed, studio_lanes, prompts)
    return studio_lanes, changed, alone


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_lanes_100_answers_of_the_embedded_model_equal_each_model_alone(smol_lanes, prompts, lanes):
    """In float32 token by token; in bfloat16 another token only where the two are nearly as likely."""
    studio_lanes, changed, alone = smol_lanes
    names = ["tuned", None, "tuned", None][:lanes]
    sampling, answered = Sampling(temperature=0, max_new_tokens=SHORT), []
    # The rows have unequal lengths.
    for start in range(0, 100, 4):
        indices = range(start, start + 4)
        requests = [(name, index) for name in names for index in indices]
        *_, answers = studio_lanes.generate(
            [LaneRequest([{"role": "user", "content": prompts[index]}], sampling, name) for name, index in requests]
        )
        answered += [(*request, answer.ids) for request, answer in zip(requests, answers, strict=True)]
    other = [(name, index, ids) for name, index, ids in answered if ids != alone[name][index]]
    dtype = studio_lanes.model.dtype
    print(f"{lanes} lanes in {dtype}: {len(answered) - len(other)} of {len(answered)} answers equal token by token")
    assert dtype == torch.bfloat16 or not other
    for name, index, ids in other:
        with contextlib.nullcontext() if name else changed.disable_adapter():
            assert near_tie(changed, studio_lanes, prompts[index], ids, alone[name][index])


def answers_alone(model, studio_lanes, prompts):
    """Return what transformers' generate answers to each prompt by itself, without the token that ends it."""
    found = []
    for prompt in prompts:
        ids = torch.tensor([studio_lanes.renderer().prompt_ids([{"role": "user", "content": prompt}])], device="cuda")
        with torch.inference_mode():
            out = model.generate(ids, do_sample=False, max_new_tokens=SHORT, attention_mask=torch.ones_like(ids))
        new = out[0, ids.shape[1] :].tolist()
        found.append(new[:-1] if new[-1] == studio_lanes.base.tokenizer.eos_token_id else new)
    return found


def near_tie(model, studio_lanes, prompt, ids, expected):
    """Return whether the two tokens at which the answers differ are equally likely within bf16's tolerance."""
    end = studio_lanes.base.tokenizer.eos_token_id
    at = next(i for i, (a, b) in enumerate(zip([*ids, end], [*expected, end], strict=False)) if a != b)
    prompt_ids = studio_lanes.renderer().prompt_ids([{"role": "user", "content": prompt}])
    with torch.inference_mode():
        logits = model(torch.tensor([prompt_ids + expected[:at]], device="cuda")).logits[0, -1].float()
    first, second = ([*answer, end][at] for answer in (ids, expected))
    return abs(float(logits[first] - logits[second])) <= TOLERANCE * float(logits.norm())


def test_base_beside_a_tuned_lane_is_bit_identical(adapters):
    model = make_model()
    rows = RowAdapters(model)
    rows.add("large", read_adapter(adapters["large"], torch.bfloat16, torch.device("cuda")))
    ids = torch.randint(3, 32000, (2, 40), generator=torch.Generator().manual_seed(2)).cuda()
    with torch.inference_mode():
        bare = model(ids).logits
        rows.set_rows([None, "large"])
        both = model(ids).logits
    assert torch.equal(both[0], bare[0])
    assert not torch.allclose(both[1], bare[1], atol=0.1)
