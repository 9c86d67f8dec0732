"""Probes of a quantized model on a GPU, whose rounding depends on the shape of a batch."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.chat.adapters import RowAdapters, read_adapter
from core.chat.probe import decoder_failure
from core.models.catalogue import Model
from core.models.loading import Precision, load_base
from core.train.layout import choose_layout
from tests.helpers.tiny_model import make_adapter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]


@pytest.fixture(scope="module")
def base(smol):
    return load_base(Model("m", "m", str(smol), True), Precision("nf4", compute_dtype="bfloat16")).model


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_rows_of_a_sound_adapter_share_a_batch(base, tmp_path, scale):
    """Also those of an adapter that changes less than rounding does."""
    folder = make_adapter(base, tmp_path / "adapter", 8, 1, scale=0.02)
    file = folder / "adapter_model.safetensors"
    scaled = {name: weight * scale if "lora_B" in name else weight for name, weight in load_file(file).items()}
    save_file(scaled, file, {"format": "pt"})
    adapters = RowAdapters(base)
    adapters.add("tuned", read_adapter(folder, base.dtype, base.device))
    assert adapters.unbatched_reason("tuned") == ""


def test_texts_of_a_quantized_model_share_a_batch(base):
    with torch.no_grad():
        assert decoder_failure(base, 0) == ""


@pytest.mark.parametrize(("packing", "kind"), [(True, "packed"), (False, "padded")])
def test_rows_of_a_quantized_model_share_a_batch_in_training(base, packing, kind):
    plain = base.config._attn_implementation
    layout = choose_layout(base, packing, "packing is off", 0, 64)
    base.set_attn_implementation(plain)
    assert layout.kind == kind
