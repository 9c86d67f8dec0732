"""Combined adapters against PEFT's own combination, the exact sum, and the adapters that do not fit."""

import zipfile

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from core.errors import StudioError
from core.export.combine import combine
from core.export.config import ExportConfig
from core.export.job import export
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from core.system.files import read_json, write_json
from tests.helpers.exports import write_tiny_run
from tests.helpers.tiny_model import make_adapter, tiny_llama


@pytest.fixture
def run(settings, small_tokenizer):
    return write_tiny_run(settings, small_tokenizer)


def add_run(settings, tokenizer, rank=4, targets="all-linear", model="tiny", **options):
    """Write a second run of the same model with another random adapter, of PEFT's options."""
    store = RunStore(settings)
    run = store.create(QLoRAConfig(model="tiny", quantization="nf4", compute_dtype="float32"))
    run.save_state(run.saved_state().model_copy(update={"status": "finished", "ended": 1200.0}))
    write_json(run.folder / "config.json", read_json(run.folder / "config.json") | {"model": model})
    base = tiny_llama(vocab_size=len(tokenizer), intermediate_size=96)
    torch.manual_seed(7)
    config = LoraConfig(
        r=rank, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False,
        **({"lora_alpha": rank} | options),
    )  # fmt: skip
    get_peft_model(base, config).save_pretrained(run.adapter)
    return run


def open_base(settings):
    return AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny", dtype=torch.float32)


def changes(settings, folder, name="default"):
    """Return the change of each module's weight by an adapter in a folder, as PEFT computes it."""
    return changes_of(PeftModel.from_pretrained(open_base(settings), folder), name)


def changes_of(tuned, adapter):
    modules = dict(tuned.get_base_model().named_modules())
    return {
        name: module.get_delta_weight(adapter)
        for name, module in modules.items()
        if adapter in getattr(module, "lora_A", {})
    }


@pytest.mark.parametrize("kind", ["cat", "svd", "linear"])
@pytest.mark.parametrize("weights", [(1.0, 0.5), (0.75, -0.5)])
def test_combination_equals_pefts_own(settings, small_tokenizer, run, tmp_path, kind, weights):
    other = add_run(settings, small_tokenizer, 4 if kind == "linear" else 3, ["q_proj", "down_proj"])
    config = ExportConfig(form="combined", combination=kind, weight=weights[0], also=[f"{other.id}={weights[1]}"])
    found = combine(settings, run, "final", config, tmp_path)
    tuned = PeftModel.from_pretrained(open_base(settings), run.adapter, "one")
    tuned.load_adapter(other.adapter, "two")
    tuned.add_weighted_adapter(["one", "two"], list(weights), "both", combination_type=kind)
    expected, own = changes_of(tuned, "both"), changes(settings, tmp_path)
    assert set(own) == set(expected)
    for name, change in expected.items():
        torch.testing.assert_close(own[name], change, atol=1e-5, rtol=1e-4)
    assert read_json(tmp_path / "adapter_config.json")["r"] == {"cat": 7, "svd": 4, "linear": 4}[kind]
    assert found.parts == (f"{weights[0]:g} × {run.title} (final)", f"{weights[1]:g} × {other.title} (final)")
    assert found.notes == []


def test_cat_is_the_exact_sum_also_of_scales_by_module(settings, small_tokenizer, run, tmp_path):
    options = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 9}, "use_rslora": True}
    other = add_run(settings, small_tokenizer, 3, ["q_proj", "v_proj"], **options)
    combine(settings, run, "final", ExportConfig(form="combined", also=[f"{other.id}=2"]), tmp_path)
    one, two, both = (changes(settings, folder) for folder in (run.adapter, other.adapter, tmp_path))
    for name, change in both.items():
        torch.testing.assert_close(change, one[name] + (2 * two[name] if name in two else 0), atol=1e-5, rtol=1e-4)


def test_combined_adapter_is_exported_with_strength_report_and_card(settings, small_tokenizer, run, tmp_path):
    other = add_run(settings, small_tokenizer, 3, ["q_proj"])
    both = {"also": [f"{other.id}=0.5"], "check_rows": 2}
    done = export(settings, run.id, "final", ExportConfig(form="combined", strength=0.5, **both))
    assert done.path.stem.endswith("-combined-x0.5")
    assert done.fidelity.mean_kl > 1e-5
    assert "Compared with this run's adapter alone" in done.notes[0]
    with zipfile.ZipFile(done.path) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / done.path.stem
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "settings.yaml"]
    assert sorted(path.name for path in folder.iterdir()) == names
    one, two, found = (changes(settings, path) for path in (run.adapter, other.adapter, folder))
    name = "model.layers.1.self_attn.q_proj"
    torch.testing.assert_close(found[name], 0.5 * one[name] + 0.25 * two[name], atol=1e-5, rtol=1e-4)
    readme = (folder / "README.md").read_text()
    assert f"Combined (cat) of 1 × {run.title} (final), 0.5 × {other.title} (final)" in readme
    assert "before it was combined with others" in readme
    assert done.fidelity.describe() in readme
    # The merged form has the same weights.
    merged = export(settings, run.id, "final", ExportConfig(form="merged", dtype="float32", base="original", **both))
    with zipfile.ZipFile(merged.path) as archive:
        archive.extractall(tmp_path)
    weight = AutoModelForCausalLM.from_pretrained(tmp_path / merged.path.stem).get_parameter(f"{name}.weight")
    change = weight - open_base(settings).get_parameter(f"{name}.weight")
    torch.testing.assert_close(change.data, one[name] + 0.5 * two[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("linear", {"rank": 3}, "linear needs equal ranks, and at model.layers.0.* has 4 and .* 3. Choose cat or svd"),
        ("cat", {"use_dora": True}, "only plain LoRA can be added, and it has use_dora"),
        ("cat", {"modules_to_save": ["input_layernorm"]}, "only plain LoRA can be added, and it has modules_to_save"),
        ("cat", {"model": "other"}, "belongs to the base model other, and .* to tiny"),
    ],
)
def test_adapter_that_does_not_fit_is_refused(settings, small_tokenizer, run, tmp_path, kind, options, reason):
    other = add_run(settings, small_tokenizer, **options)
    with pytest.raises(StudioError, match=reason):
        combine(settings, run, "final", ExportConfig(form="combined", combination=kind, also=[other.id]), tmp_path)


def test_adapter_of_a_model_of_another_size_is_refused(settings, small_tokenizer, run, tmp_path):
    other = add_run(settings, small_tokenizer)
    make_adapter(tiny_llama(hidden_size=32), other.adapter, 4, 1)
    with pytest.raises(StudioError, match="in another size than"):
        combine(settings, run, "final", ExportConfig(form="combined", also=[other.id]), tmp_path)


def test_adapters_that_are_not_there_or_named_twice_are_refused(settings, run, tmp_path):
    for name, reason in (("gone", "gone"), (f"{run.id}/step 9", "no adapter 'step 9'"), (run.id, "Own weight")):
        with pytest.raises(StudioError, match=reason):
            combine(settings, run, "final", ExportConfig(form="combined", also=[name]), tmp_path)
    with pytest.raises(StudioError, match="Combine with is empty"):
        export(settings, run.id, "final", ExportConfig(form="combined"))


def test_other_template_and_precision_are_noted(settings, small_tokenizer, run, tmp_path):
    other = add_run(settings, small_tokenizer)
    write_json(other.folder / "config.json", read_json(other.folder / "config.json") | {"quantization": "int8"})
    (other.adapter / "chat_template.jinja").write_text("another")
    found = combine(settings, run, "final", ExportConfig(form="combined", also=[other.id]), tmp_path)
    assert "another chat template" in found.notes[0]
    assert "in int8, not in nf4" in found.notes[1]
