"""Exports as jobs: files that load elsewhere, types in one job, and refusals; see test_killed_export for kills."""

import shutil
import zipfile

import gguf
import pytest
import torch
from filelock import FileLock
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.export import float_model, importance_file, tasks, type_comparison
from core.export.base_weights import WeightFiles
from core.export.config import FORMS, ExportConfig
from core.export.job import export
from core.export.llama_quantize import is_installed
from core.export.merge import MergedModel
from core.models import catalogue
from core.models.gguf_families import to_gguf_rows
from core.models.loading import Precision
from core.system.files import read_json, write_json
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.exports import CHATML, write_tiny_run
from tests.helpers.gguf_models import build

NAMES = {"q_proj": "blk.1.attn_q.weight", "k_proj": "blk.1.attn_k.weight", "o_proj": "blk.1.attn_output.weight"}


@pytest.fixture
def run(settings, small_tokenizer):
    return write_tiny_run(settings, small_tokenizer)


def unpack(path, folder):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder / path.stem


def left_over(settings):
    """Return what lies in the folder of exports beside finished files and locks."""
    return [path.name for path in settings.exports_dir.iterdir() if path.name.startswith(".") and path.is_dir()]


def locks(settings):
    return list(settings.exports_dir.glob("*lock"))


def test_merged_model_loads_without_the_studio(settings, run, tmp_path):
    stages = []
    done = export(
        settings, run.id, "final", ExportConfig(form="merged", dtype="float32", check_rows=2),
        lambda share, stage: stages.append((share, stage)),
    )  # fmt: skip
    folder = unpack(done.path, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert AutoTokenizer.from_pretrained(folder).chat_template == CHATML
    assert done.size == done.path.stat().st_size
    assert done.fidelity.rows == 2
    assert done.fidelity.mean_kl == pytest.approx(0, abs=1e-6)
    readme = (folder / "README.md").read_text()
    assert done.fidelity.describe() in readme
    assert "base_model_relation: finetune" in readme
    assert [share for share, _ in stages] == sorted(share for share, _ in stages)
    assert left_over(settings) == []


def test_merged_model_in_4_bits_loads_and_is_compared_as_it_loads(settings, run, tmp_path):
    done = export(settings, run.id, "final", ExportConfig(form="merged-4bit", dtype="float32", check_rows=2))
    assert done.path.name.endswith("-final-float32-nf4.zip")
    folder = unpack(done.path, tmp_path)
    config = AutoModelForCausalLM.from_pretrained(folder).config
    assert config.quantization_config.bnb_4bit_quant_type == "nf4"
    # The weights of the random adapter are no values of NF4.
    assert done.fidelity.mean_kl > 1e-5
    assert done.notes[0].startswith("The base without the adapter has a mean KL divergence of ")
    assert "The merged weights are rounded to 4 bits (NF4) once more" in (folder / "README.md").read_text()


def test_gguf_and_ollama_hold_the_same_model(settings, run, tmp_path):
    file = export(settings, run.id, "final", ExportConfig(form="gguf", quantization="Q8_0", check_rows=2))
    packed = export(settings, run.id, "final", ExportConfig(form="ollama", quantization="Q8_0", check_rows=2))
    assert file.path.suffix == ".gguf"
    folder = unpack(packed.path, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["Modelfile", "README.md", "model.gguf"]
    assert "base_model_relation: quantized" in (file.card / "README.md").read_text()
    assert packed.card is None
    assert (folder / "model.gguf").read_bytes() == file.path.read_bytes()
    assert file.fidelity == packed.fidelity
    assert 0 < file.fidelity.mean_kl < 0.01


def test_adapter_as_gguf_gives_the_merged_weights(settings, run):
    done = export(settings, run.id, "final", ExportConfig(form="gguf-adapter", strength=0.5))
    assert done.path.name.endswith("-final-adapter-x0.5.gguf")
    assert done.fidelity is None
    reader = gguf.GGUFReader(done.path)
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["adapter.lora.alpha"].contents() == 0
    tensors = {tensor.name: torch.tensor(tensor.data) for tensor in reader.tensors}
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none", compute_dtype="float32"), "original")
    merged = MergedModel(source, run.adapter, 0.5)
    for name in ("q_proj", "k_proj", "o_proj"):
        weight, target = f"model.layers.1.self_attn.{name}.weight", NAMES[name]
        change = tensors[f"{target}.lora_b"] @ tensors[f"{target}.lora_a"]
        expected = to_gguf_rows(merged.read(weight) - source.read(weight), weight, source.config)
        torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-6)


def test_adapter_that_is_no_plain_lora_is_refused_as_gguf(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer, targets=["q_proj"])
    config = read_json(run.adapter / "adapter_config.json")
    write_json(run.adapter / "adapter_config.json", config | {"use_dora": True})
    with pytest.raises(StudioError, match="plain LoRA only"):
        export(settings, run.id, "final", ExportConfig(form="gguf-adapter"))


def test_original_base_is_told_from_the_base_as_trained(settings, run):
    trained, original = (
        export(settings, run.id, "final", ExportConfig(form="merged", base=base, dtype="float32", check_rows=2))
        for base in ("as trained", "original")
    )
    assert trained.path != original.path
    assert original.fidelity.mean_kl > 100 * trained.fidelity.mean_kl


def test_checkpoint_without_held_out_rows_is_not_compared(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    done = export(settings, run.id, "final", ExportConfig(form="gguf", check_rows=0))
    assert done.fidelity is None
    assert done.notes == ["Nothing was compared, because Compared rows is 0."]


def test_run_that_held_rows_out_itself_is_compared_on_them(settings, small_tokenizer, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog(f"Question {n}?", f"Answer {n}.") for n in range(10)])
    subset.create(settings, "all", Recipe(dataset=data.id, held_out_share=0))
    run = write_tiny_run(settings, small_tokenizer, subset="all", held_out_share=0.2)
    done = export(settings, run.id, "final", ExportConfig(form="gguf", check_rows=16))
    assert done.fidelity.rows == 2


def test_too_little_memory_leaves_the_comparison_out_with_a_note(settings, run, monkeypatch):
    monkeypatch.setattr(float_model, "_MEMORY_FACTOR", 10**9)
    done = export(settings, run.id, "final", ExportConfig(form="gguf"))
    assert done.fidelity is None
    assert "Nothing was compared: that needs" in done.notes[0]


def test_adapter_is_written_at_once(settings, run):
    assert export(settings, run.id, "final", ExportConfig()).path.name.endswith("-final-adapter.zip")


def test_second_export_of_a_file_is_refused_while_the_first_runs(settings, run):
    config = ExportConfig(form="gguf", check_rows=0)
    name = export(settings, run.id, "final", config).path.name
    with FileLock(settings.exports_dir / f".{name}.export-lock"), pytest.raises(StudioError, match="exported already"):
        export(settings, run.id, "final", config)


def test_full_disk_is_reported_before_anything_is_written(settings, run, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(StudioError, match=r"The export needs .* has 1,000 bytes free"):
        export(settings, run.id, "final", ExportConfig(form="merged"))
    assert left_over(settings) == []


def test_int8_run_is_merged_onto_the_original_weights_only(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer, quantization="int8")
    with pytest.raises(StudioError, match="Base weights to original"):
        export(settings, run.id, "final", ExportConfig(form="merged"))
    done = export(settings, run.id, "final", ExportConfig(form="merged", base="original", check_rows=1))
    assert "int8 rounds the inputs" in done.notes[0]


@pytest.mark.parametrize(
    ("form", "setting", "title"),
    [("adapter", {"strength": 2}, "Adapter strength"), ("gguf", {"dtype": "float32"}, "Number format"),
     ("merged", {"quantization": "Q4_0"}, "GGUF type"), ("gguf-adapter", {"check_rows": 3}, "Compared rows")],
)  # fmt: skip
def test_setting_that_a_form_does_not_use_is_refused(form, setting, title):
    with pytest.raises(ValidationError, match=f"{title} does not apply to the form {form}"):
        ExportConfig(form=form, **setting)


def test_name_of_a_file_tells_the_settings_apart():
    changes = {"base": "original", "strength": 0.5, "dtype": "float32", "quantization": ["Q4_0"], "also": ["other"]}
    configs = [ExportConfig()]
    for form, about in FORMS.items():
        for name in set(about.settings) & set(changes):
            configs += [ExportConfig(form=form, **{name: changes[name]})]
        configs += [ExportConfig(form=form)] * bool(about.settings)
    configs += [
        ExportConfig(form="gguf", quantization="Q4_K_M", importance_rows=rows) for rows in (0, 64)
    ]  # fmt: skip
    configs += [ExportConfig(form=form, quantization=["Q8_0", "Q4_0"]) for form in ("gguf", "ollama")]
    names = [config.file_name("run-final") for config in configs]
    assert len(set(names)) == len(names) == 1 + 3 * 3 + 4 * 5 + 4


def test_several_types_are_written_in_one_job_with_their_comparison(settings, run, tmp_path):
    shares = []
    config = ExportConfig(form="gguf", quantization=["Q4_0", "F16", "Q8_0"], check_rows=24)
    done = export(settings, run.id, "final", config, lambda share, stage: shares.append(share))
    assert shares == sorted(shares)
    assert [one.quantization for one in done.types] == ["Q4_0", "F16", "Q8_0"]
    for one in done.types:
        assert one.path.name.endswith(f"-final-{one.quantization}.gguf")
        assert one.path.stat().st_size == one.size
        assert one.fidelity.rows == 24
    divergences = {one.quantization: one.fidelity.mean_kl for one in done.types}
    assert divergences["F16"] < divergences["Q8_0"] < divergences["Q4_0"]
    # The smallest of the types that are alike is the result.
    smallest = type_comparison.find_smallest(done.types)
    assert done.path == smallest.path
    folder = unpack(done.report, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "types.json", "types.png"]
    readme = (folder / "README.md").read_text()
    assert f"| **{smallest.quantization}** |" in readme
    assert type_comparison.describe_choice(done.types) in readme
    assert "![Size, KL divergence and loss of each type](types.png)" in readme
    assert [one["quantization"] for one in read_json(folder / "types.json")] == ["Q4_0", "F16", "Q8_0"]
    assert left_over(settings) == locks(settings) == []


def test_several_types_for_ollama_are_zips_of_their_own(settings, run):
    done = export(settings, run.id, "final", ExportConfig(form="ollama", quantization=["Q4_0", "Q8_0"], check_rows=0))
    assert [zipfile.ZipFile(one.path).testzip() for one in done.types] == [None, None]
    assert zipfile.ZipFile(done.report).testzip() is None
    assert done.notes[0] == "Nothing was compared, because Compared rows is 0."
    assert type_comparison.describe_choice(done.types) == "The files were not compared, so none is marked."


@pytest.mark.skipif(not is_installed(), reason="llama-cpp-python is optional: it compiles for minutes")
def test_type_of_llama_cpp_is_exported_with_its_matrix(settings, small_tokenizer, tmp_path):
    run = write_tiny_run(settings, small_tokenizer, build("wide", len(small_tokenizer)))
    config = ExportConfig(form="gguf", quantization=["Q8_0", "Q4_K_M"], check_rows=4, importance_rows=6)
    done = export(settings, run.id, "final", config)
    assert done.notes[0].startswith("K-quants and IQ types are rounded by an importance matrix of ")
    assert "in 6 held-out rows of the subset" in done.notes[0]
    assert [one.fidelity.rows for one in done.types] == [4, 4]
    folder = unpack(done.report, tmp_path)
    assert importance_file.read(folder / "imatrix.gguf")
    fields = gguf.GGUFReader(done.types[1].path).fields
    assert fields["quantize.imatrix.dataset"].contents().startswith("6 held-out rows")


@pytest.mark.parametrize(
    ("kinds", "reason"), [(["Q8_0", "Q8_0"], "lists Q8_0 twice"), ([], "at least 1 item"), (["Q9"], "Input should be")]
)
def test_list_of_types_is_checked(kinds, reason):
    with pytest.raises(ValidationError, match=reason):
        ExportConfig(form="gguf", quantization=kinds)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at", [1, 4])
def test_export_of_a_run_that_is_deleted_meanwhile_says_so(settings, run, small_tokenizer, monkeypatch, form, at):
    """At whichever read of the run's files it is deleted."""
    also = {"also": [write_tiny_run(settings, small_tokenizer).id]} if form == "combined" else {}
    title, reads, read_config = run.title, 0, type(run).config

    def read(self):
        nonlocal reads
        reads += 1
        if reads == at:
            shutil.rmtree(run.folder)
        return read_config(self)

    monkeypatch.setattr(type(run), "config", read)
    monkeypatch.setattr(type(run), "title", title)
    with pytest.raises(StudioError, match="was deleted while it was exported, so nothing was written") as raised:
        tasks.export(settings, run.id, "final", ExportConfig(form=form, **also))
    assert title in str(raised.value)
    assert "Errno" not in str(raised.value)
    assert [path.name for path in settings.exports_dir.iterdir()] == []
