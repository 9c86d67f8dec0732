"""K-quants and IQ types by llama.cpp: refusals, failures, fallbacks, and what the importance matrix gains."""

import importlib.util

import gguf
import pytest
from pydantic import ValidationError

from core.data import subset
from core.data.table import HELD_OUT
from core.data.tokens import Renderer
from core.errors import StudioError
from core.export import importance, importance_file, llama_quantize
from core.export.base_weights import WeightFiles
from core.export.config import NEED_IMPORTANCE, ExportConfig
from core.export.fidelity import Comparison
from core.export.float_model import FloatModel
from core.export.gguf_file import read_weights, write_gguf
from core.export.gguf_types import TypeWriter, bytes_at_most
from core.export.job import export
from core.export.merge import MergedModel
from core.models import catalogue, embedded
from core.models.loading import Precision, load_tokenizer
from core.train.batches import tokenize
from tests.helpers.datasets import copy_bundled
from tests.helpers.exports import write_tiny_run
from tests.helpers.gguf_models import write_model
from tests.helpers.tiny_model import make_adapter

needs_llama_cpp = pytest.mark.skipif(
    not llama_quantize.is_installed(), reason=f"llama-cpp-python is optional: {llama_quantize.INSTALL}"
)


def ignore(share, stage):
    pass


def test_type_without_the_package_is_refused_before_anything_is_loaded(settings, small_tokenizer, monkeypatch):
    run, found = write_tiny_run(settings, small_tokenizer), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llama_cpp" else found(name))
    stages = []
    with pytest.raises(StudioError, match=r"Q4_K_M needs llama.cpp.*Install it with: pip install -r"):
        export(
            settings, run.id, "final", ExportConfig(form="gguf", quantization=["Q8_0", "Q4_K_M"]),
            lambda share, stage: stages.append(stage),
        )  # fmt: skip
    assert stages == []


@pytest.mark.parametrize("kind", NEED_IMPORTANCE)
def test_type_that_needs_a_matrix_is_refused_without_rows(kind):
    with pytest.raises(ValidationError, match=f"{kind} needs an importance matrix: set Importance rows to 64"):
        ExportConfig(form="gguf", quantization=kind, importance_rows=0)


@needs_llama_cpp
def test_failure_of_llama_cpp_is_reported_with_its_reason(tmp_path):
    (tmp_path / "source.gguf").write_bytes(b"no model")
    with pytest.raises(StudioError, match=r"llama.cpp cannot write this model as Q4_K_M: .+\. Choose another GGUF"):
        llama_quantize.quantize(tmp_path / "source.gguf", tmp_path / "model.gguf", "Q4_K_M", None, ignore)


def test_process_that_aborts_is_reported(tmp_path, monkeypatch):
    # Another program stands for a process that is killed by llama.cpp's abort.
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho tensor 1 of 2\nkill -ABRT $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(llama_quantize.sys, "executable", str(script))
    shares = []
    with pytest.raises(StudioError, match="its process ended with -6"):
        llama_quantize.quantize(tmp_path, tmp_path, "Q4_K_M", None, lambda share, stage: shares.append(share))
    assert shares == [0.5]


@needs_llama_cpp
def test_width_that_blocks_do_not_divide_is_reported(settings, small_tokenizer, tmp_path):
    merged = write_model(settings, small_tokenizer, tmp_path / "source.gguf", "F16")
    shares = []
    llama_quantize.quantize(
        tmp_path / "source.gguf", tmp_path / "model.gguf", "Q4_K_M", None, lambda share, stage: shares.append(share)
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    note = llama_quantize.describe_fallback(tmp_path / "model.gguf", "Q4_K_M")
    assert note.startswith("Q4_K_M divides rows into blocks of 256 values. In 15 of 15 matrices this is not possible")
    assert "their rows have 64, 96 values" in note
    assert "Q5_0" in note
    assert "100% of the file" in note
    assert llama_quantize.describe_fallback(tmp_path / "model.gguf", "IQ4_NL") == ""
    for name, values in read_weights(tmp_path / "model.gguf", merged):
        assert (values - merged.read(name).float()).abs().max() <= 0.1 * merged.read(name).abs().max()


@needs_llama_cpp
def test_types_are_written_read_back_and_within_their_bounds(settings, small_tokenizer, tmp_path):
    merged = write_model(settings, small_tokenizer, tmp_path / "plain.gguf", "Q8_0", "wide")
    model = FloatModel(merged.source.model)
    model.fill_merged(merged)
    matrix = importance.collect(model, [{"input_ids": list(range(3, 60))}], "numbers", ignore)
    writer = TypeWriter(merged, "tiny", None, tmp_path, lambda progress: matrix)
    kinds = ["Q6_K", "Q3_K_L", "IQ4_XS", "IQ2_XXS"]
    for kind, bound in zip(kinds, bytes_at_most(merged, kinds), strict=True):
        writer.write(kind, tmp_path / "model.gguf", ignore)
        reader = gguf.GGUFReader(tmp_path / "model.gguf")
        assert sum(int(tensor.n_bytes) for tensor in reader.tensors) <= bound, kind
        assert reader.fields["quantize.imatrix.entries_count"].contents() == len(matrix.sums)
        assert reader.fields["general.file_type"].contents() == gguf.LlamaFileType[f"MOSTLY_{kind}"]
        assert [name for name, _ in read_weights(tmp_path / "model.gguf", merged)] == merged.names
    assert writer.notes == ["K-quants and IQ types are rounded by an importance matrix of 57 tokens in numbers."]
    writer.close()
    assert not (tmp_path / "source.gguf").exists()


@needs_llama_cpp
@pytest.mark.slow
def test_importance_matrix_lowers_the_divergence_on_held_out_rows(studio, tmp_path):
    copy_bundled(studio)
    model = catalogue.find(studio, embedded.NAME)
    source = WeightFiles(model, Precision("none", compute_dtype="float32"), "original")
    base = FloatModel(model)
    make_adapter(base.model, tmp_path / "adapter", 4, 1, scale=0.1)
    merged = MergedModel(source, tmp_path / "adapter")
    renderer = Renderer(load_tokenizer(model), "auto", source.config.vocab_size)
    held_out = tokenize(renderer, subset.load(studio, "keeper")[HELD_OUT], 96, answers_only=True).rows
    comparison = Comparison(base, merged, held_out[:8])
    base.fill_merged(merged)
    importance_file.write(importance.collect(base, held_out[8:24], "held-out rows", ignore), tmp_path / "imatrix.gguf")
    write_gguf(merged, "F16", tmp_path / "source.gguf", "tuned", ignore)
    divergences = []
    for matrix in (None, tmp_path / "imatrix.gguf"):
        llama_quantize.quantize(tmp_path / "source.gguf", tmp_path / "model.gguf", "Q4_K_M", matrix, ignore)
        divergences.append(comparison.compare(read_weights(tmp_path / "model.gguf", merged), ignore).mean_kl)
    without, with_matrix = divergences
    assert with_matrix < without
    # SmolLM2 is 576 wide, and its MLP 1,536: only the latter is a multiple of 256.
    note = llama_quantize.describe_fallback(tmp_path / "model.gguf", "Q4_K_M")
    assert "In 181 of 211 matrices this is not possible, because their rows have 576 values" in note
    print(f"KL without {without:.5f}, with {with_matrix:.5f}; {note}")
