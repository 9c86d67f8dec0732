"""Lanes on a GPU: every lane's logits are those of its model alone, within what bf16 rounds away."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from core.chat.adapters import RowAdapters, read_adapter
from core.chat.decoder import Decoder, Row

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

TOLERANCE = 0.02  # of the logits' length; bf16 keeps 8 bits, and a batch adds in another order
TOKENS = 24


def made():
    """Llama 2's shape family: no grouped heads, 32,000 tokens."""
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
        tuned = get_peft_model(made(), shape)
        for key, parameter in tuned.named_parameters():
            if "lora_" in key:
                parameter.data *= 0.2
        folders[name] = tmp_path_factory.mktemp(name)
        tuned.save_pretrained(folders[name])
    return folders


class Kept:
    """A row that keeps its logits and takes the likeliest token."""

    def __init__(self, ids, adapter):
        self.ids, self.adapter, self.logits, self.tokens = ids, adapter, [], []
        self.row = Row(ids, adapter, self.take)

    def take(self, logits):
        self.logits.append(logits.float())
        self.tokens.append(int(logits.argmax()))
        return self.tokens[-1] if len(self.tokens) < TOKENS else None


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_logits_of_every_lane_are_those_of_its_model_alone(adapters, lanes):
    model = made()
    rows = RowAdapters(model)
    for name, folder in adapters.items():
        rows.add(name, read_adapter(folder, torch.bfloat16, torch.device("cuda")))
    decoder, generator = Decoder(model, rows, chunk=64), torch.Generator().manual_seed(1)
    names = [None, "large", "small", None][:lanes]
    asked = [
        Kept(torch.randint(3, 32000, (length,), generator=generator).tolist(), name)
        for length, name in zip((31, 150, 7, 90), names, strict=False)
    ]
    decoder.join([one.row for one in asked[:2]])
    decoder.step()
    if asked[2:]:
        decoder.join([one.row for one in asked[2:]])
    while decoder.step():
        pass
    worst = 0.0
    for one in asked:
        alone = made()
        if one.adapter:
            alone = PeftModel.from_pretrained(alone, adapters[one.adapter]).eval()
        ids = torch.tensor([one.ids + one.tokens[:-1]], device="cuda")
        with torch.inference_mode():
            expected = alone(ids).logits[0, -TOKENS:].float()
        found = torch.stack(one.logits)
        worst = max(worst, float((found - expected).norm() / expected.norm()))
        for at, token in enumerate(one.tokens):  # another token only where two are nearly as likely
            assert expected[at].max() - expected[at, token] <= TOLERANCE * expected[at].norm()
    print(f"{lanes} lanes: logits differ by {worst:.4f} of their length at most")
    assert worst <= TOLERANCE


def test_the_base_beside_a_tuned_lane_is_the_base(adapters):
    model = made()
    rows = RowAdapters(model)
    rows.add("large", read_adapter(adapters["large"], torch.bfloat16, torch.device("cuda")))
    ids = torch.randint(3, 32000, (2, 40), generator=torch.Generator().manual_seed(2)).cuda()
    with torch.inference_mode():
        bare = model(ids).logits
        rows.set_rows([None, "large"])
        both = model(ids).logits
    assert torch.equal(both[0], bare[0])
    assert not torch.allclose(both[1], bare[1], atol=0.1)
