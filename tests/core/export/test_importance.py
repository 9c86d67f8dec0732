"""The importance matrix against a direct computation, its file, and the rows that it is computed from."""

import gguf
import pytest
import torch

from core.data import subset
from core.data.recipe import Recipe
from core.data.table import HELD_OUT, TRAIN
from core.data.tokens import Renderer
from core.errors import StudioError
from core.export import importance, importance_file
from core.export.base_weights import WeightFiles
from core.export.config import ExportConfig
from core.export.float_model import FloatModel
from core.export.merge import MergedModel
from core.export.rows import ExportRows
from core.models import catalogue
from core.models.loading import Precision, load_tokenizer
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.exports import write_tiny_run
from tests.helpers.gguf_models import build
from tests.helpers.tiny_model import random_rows


def open_filled(settings, tokenizer, model=None):
    """Return a model in memory with the weights of a tiny merged one."""
    run = write_tiny_run(settings, tokenizer, model)
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none", compute_dtype="float32"), "original")
    found, merged = FloatModel(source.model), MergedModel(source, run.adapter)
    found.fill_merged(merged)
    return found


def collect(model, rows):
    shares = []
    found = importance.collect(model, rows, "some rows", lambda share, stage: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return found


def test_sums_are_those_of_the_squared_inputs(settings, small_tokenizer):
    model, rows = open_filled(settings, small_tokenizer), random_rows([12, 9])
    found = collect(model, rows)
    assert (found.rows, found.tokens) == (2, 21)
    decoder = model.model.model
    expected = torch.zeros(model.model.config.hidden_size)
    with torch.no_grad():
        for row in rows:
            embedded = decoder.embed_tokens(torch.tensor([row["input_ids"]]))
            expected += decoder.layers[0].input_layernorm(embedded)[0].square().sum(0)
    for name in ("q", "k", "v"):
        torch.testing.assert_close(torch.from_numpy(found.sums[f"blk.0.attn_{name}.weight"]), expected)
    # All linear layers of both blocks, and not the output layer, as in llama.cpp.
    assert len(found.sums) == 2 * 7
    assert not any(module._forward_pre_hooks for module in model.model.modules())


def test_layers_of_gpt2_are_read_too(settings, small_tokenizer):
    found = collect(open_filled(settings, small_tokenizer, build("gpt2", len(small_tokenizer))), random_rows([9]))
    assert {name for name in found.sums if name.startswith("blk.1.")} == {
        f"blk.1.{name}.weight" for name in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    }
    assert found.sums["blk.1.ffn_down.weight"].shape == (256,)


def test_file_is_the_one_that_llama_imatrix_writes(settings, small_tokenizer, tmp_path):
    found = collect(open_filled(settings, small_tokenizer), random_rows([12, 9]))
    importance_file.write(found, tmp_path / "imatrix.gguf")
    reader = gguf.GGUFReader(tmp_path / "imatrix.gguf")
    assert reader.fields["general.type"].contents() == "imatrix"
    assert reader.fields["imatrix.datasets"].contents() == ["some rows"]
    assert reader.fields["imatrix.chunk_count"].contents() == 2
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert tensors["blk.0.attn_q.weight.in_sum2"].shape.tolist() == [64, 1]
    assert tensors["blk.0.attn_q.weight.counts"].data.tolist() == [[21]]
    means = importance_file.read(tmp_path / "imatrix.gguf")
    assert list(means) == list(found.sums)
    for name, sums in found.sums.items():
        assert means[name] == pytest.approx(sums / 21)


def test_other_file_is_no_importance_matrix(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("blk.0.attn_q.weight", torch.zeros(2, 2).numpy())
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    with pytest.raises(StudioError, match=r"model\.gguf is no importance matrix"):
        importance_file.read(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("share", "check_rows", "importance_rows", "dataset", "counts"),
    [
        (0.5, 4, 4, "4 held-out rows of the subset all", (4, 4, 0)),
        (0.5, 4, 8, "6 held-out rows and 2 training rows of the subset all", (4, 6, 2)),
        (0.2, 4, 8, "8 training rows of the subset all", (4, 0, 8)),
        (0.2, 0, 3, "3 held-out rows of the subset all", (0, 3, 0)),
        (0.2, 3, 2, "1 held-out row and 1 training row of the subset all", (3, 1, 1)),
    ],
)
def test_rows_of_the_matrix_are_never_compared(
    settings, small_tokenizer, tmp_path, share, check_rows, importance_rows, dataset, counts
):
    data = open_dialogs(settings, tmp_path, [dialog(f"Question {n}?", f"Answer {n}.") for n in range(20)])
    subset.create(settings, "all", Recipe(dataset=data.id, held_out_share=share))
    run = write_tiny_run(settings, small_tokenizer, subset="all")
    renderer = Renderer(load_tokenizer(catalogue.find(settings, "tiny")), "auto", len(small_tokenizer))
    config = ExportConfig(
        form="gguf", quantization="Q4_K_M", check_rows=check_rows, importance_rows=importance_rows
    )  # fmt: skip
    rows = ExportRows(settings, run, renderer, config)
    compared, read = ({row["row"] for row in found} for found in (rows.compared, rows.for_importance))
    splits = subset.load(settings, "all")
    held_out, train = ({number for number, _ in splits[name]} for name in (HELD_OUT, TRAIN))
    assert not compared & read
    assert (len(compared), len(read & held_out), len(read & train)) == counts
    assert rows.dataset == dataset
