"""Load a base model: quantization, compute dtype, attention, and folders that are rejected."""

import pytest
import torch
from bitsandbytes.nn import Linear4bit

from core.chat.lanes import Lanes
from core.errors import StudioError
from core.hardware import cpu
from core.models import catalogue, loading
from core.models.catalogue import Model
from core.models.loading import LoadedBase, Precision, load_base, load_tokenizer
from tests.helpers.answering_architectures import build
from tests.helpers.tiny_model import tiny_llama

IDS = torch.tensor([[5, 17, 300, 8, 44]])


@pytest.fixture
def tiny(tmp_path, tokenizer) -> Model:
    """Save a tiny Llama in bfloat16 as a local model."""
    tiny_llama(vocab_size=len(tokenizer), dtype=torch.bfloat16).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return Model("tiny", "tiny", str(tmp_path / "tiny"), local=True)


def training_logits(model):
    """Return the logits of the products that training uses."""
    # In evaluation mode bitsandbytes uses another product with coarser scales.
    model.train()
    return model(IDS.clone(), use_cache=False).logits


@pytest.mark.parametrize("quantization", ["nf4", "fp4"])
def test_load_base_unpacked_weights_give_the_same_logits(tiny, monkeypatch, quantization):
    unpacked = load_base(tiny, Precision(quantization))
    assert "unpacked once" in unpacked.notes[-1]
    monkeypatch.setattr(loading, "UNPACKED_SHARE", 0)
    packed = load_base(tiny, Precision(quantization))
    assert "at every product" in packed.notes[-1]
    assert any(isinstance(m, Linear4bit) for m in packed.model.modules())
    assert not any(isinstance(m, Linear4bit) for m in unpacked.model.modules())
    embeddings = torch.randn(1, 5, 64, dtype=packed.model.dtype, requires_grad=True)
    outs = [b.model.train()(inputs_embeds=embeddings, use_cache=False).logits for b in (packed, unpacked)]
    assert torch.equal(*outs)


def test_load_base_each_quantization_gives_other_logits(tiny):
    outs = {q: training_logits(load_base(tiny, Precision(q)).model) for q in ("none", "nf4", "fp4")}
    outs["nf4 single"] = training_logits(load_base(tiny, Precision("nf4", double_quantization=False)).model)
    assert not torch.equal(outs["none"], outs["nf4"])
    assert not torch.equal(outs["fp4"], outs["nf4"])
    assert not torch.equal(outs["nf4 single"], outs["nf4"])


def test_load_base_has_the_compute_dtype_and_frozen_weights(tiny):
    base = load_base(tiny, Precision("none", compute_dtype="float32"))
    assert base.model.dtype == torch.float32
    assert not any(p.requires_grad for p in base.model.parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in its own dtype")
def test_load_base_on_cpu_without_bfloat16_uses_float32_and_notes_it(tiny, monkeypatch):
    for is_fast, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(cpu, "multiplies_bfloat16", lambda is_fast=is_fast: is_fast)
        base = load_base(tiny, Precision("nf4"))
        assert base.model.dtype == base.model.model.layers[0].mlp.up_proj.weight.dtype == dtype
        assert base.notes[0].startswith(f"Matrix products are computed in {str(dtype).removeprefix('torch.')} (auto: ")


def test_load_base_unknown_architecture_is_rejected_with_the_name(settings):
    folder = settings.models_dir / "odd"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "no-such-architecture"}')
    model = catalogue.find(settings, "odd")
    with pytest.raises(StudioError, match="'odd'"):
        load_tokenizer(model)
    with pytest.raises(StudioError, match="'odd'"):
        load_base(model, Precision("none"))


@pytest.mark.parametrize(
    ("family", "expected"), [("gemma2", "eager"), ("gpt_oss", "eager"), ("gptj", "eager"), ("mistral", "sdpa")]
)
def test_load_base_selects_the_attention_of_the_family(family, expected, small_tokenizer, tmp_path):
    build(family, len(small_tokenizer)).save_pretrained(tmp_path)
    small_tokenizer.save_pretrained(tmp_path)
    model = Model(family, family, str(tmp_path), local=True)
    loaded = load_base(model, Precision("none", compute_dtype="float32")).model
    assert loaded.config._attn_implementation == expected
    assert Lanes(LoadedBase(loaded, small_tokenizer)).unbatched_reason == ""
