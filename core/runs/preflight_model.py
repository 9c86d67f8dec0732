"""Preflight checks of a model and its adapter on the meta device, without reading weights.

`findings` looks at the files and the settings; a process of its own reads the config, builds the model without weights
and applies the adapter (`python -m core.runs.preflight_model`), so that the page's process imports no torch. Nearly all
of its time goes to imports. A report is cached by everything that it depends on.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import StudioError
from core.models import classifier, support
from core.models.catalogue import Model
from core.models.config_bounds import load_config
from core.runs import targets
from core.runs.config import TITLES, QLoRAConfig
from core.runs.config.lora import LoRASettings
from core.runs.findings import Finding
from core.settings import hardware
from core.system.counting import counted
from core.system.launch import python_path
from core.system.process_limits import Limits

# The report takes about 11 CPU seconds, and longer if the machine has other work.
_TIMEOUT_SECONDS = 300
# Limits in this order: bytes of address space, most of which torch's libraries take; CPU seconds; bytes of one file.
_LIMITS = Limits(24 * 2**30, _TIMEOUT_SECONDS, 2**30)
# The settings that decide the report; it is cached by them.
_ADAPTER_FIELDS = ("model", "task", "quantization", "attention", *LoRASettings.model_fields)


def findings(model: Model, config: QLoRAConfig) -> list[Finding]:
    """Return what would go wrong with the model or the adapter of a run.

    Args:
        model: A model whose config.json can be had.
        config: The run.
    """
    own = {
        "model": _file_problems(model, config),
        "compute_dtype": _precision_problems(config),
        "lora_rank": _rank_problems(config),
    }
    found = [Finding("problem", text, (name,)) for name, problems in own.items() for text in problems]
    # A local model is known by its config's text, so that equal configs are examined once.
    text = (Path(model.path) / "config.json").read_text(encoding="utf-8", errors="replace") if model.local else None
    adapter = {name: getattr(config, name) for name in _ADAPTER_FIELDS}
    try:
        report = _report(None if model.local else model, text, json.dumps(adapter))
    except StudioError as error:
        return [*found, Finding("problem", str(error))]
    found += [Finding("problem", text, tuple(report["fields"].get(text, ()))) for text in report["problems"]]
    found += [Finding("warning", text) for text in report["warnings"]]
    return found if report["problems"] else [*found, Finding("fine", report["fine"])]


def read_config(model: Model) -> tuple[Any | None, str]:
    """Return a model's config, or None and a sentence on why transformers cannot read it."""
    try:
        return load_config(model), ""
    except StudioError as error:
        return None, str(error)
    except (OSError, ValueError, KeyError) as error:
        text = str(error).strip()
        if "trust_remote_code" in text or "custom code" in text:
            return None, (
                f"{model.name} needs Python code of its own, which the studio never runs. Choose a model that "
                "transformers has."
            )
        reason = text.splitlines()[0] if text else type(error).__name__
        return None, f"The model's config.json cannot be read ({reason}). Choose another model."


def _file_problems(model: Model, config: QLoRAConfig) -> list[str]:
    """Return problems of a local model's files; those of a Hub model are known once it is downloaded."""
    if not model.local:
        return []
    folder = Path(model.path)
    if (folder / "adapter_config.json").is_file():
        return [f"{config.model} is an adapter, not a base model. Choose {_base_of(folder)}."]
    if any(folder.glob("*.safetensors")) or not any(folder.glob("pytorch_model*.bin")):
        return []
    return [
        f"{config.model} has its weights in pytorch_model.bin only, which can run code when it is read. Save it as "
        "safetensors: load it in transformers and call save_pretrained."
    ]


def _base_of(folder: Path) -> str:
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    return f"its base model, {base}" if base else "its base model"


def _precision_problems(config: QLoRAConfig) -> list[str]:
    if config.compute_dtype != "float16" or hardware().device != "cpu":
        return []
    # torch has no float16 autocast for training on CPUs, and float16 products take 100 times as long as float32.
    return [f"float16 cannot be trained on a CPU. Set {TITLES['compute_dtype']} to auto, bfloat16 or float32."]


def _rank_problems(config: QLoRAConfig) -> list[str]:
    if config.lora_init != "orthogonal" or config.lora_rank % 2 == 0:
        return []
    lower = max(2, config.lora_rank - 1)
    return [f"Orthogonal initialization needs an even rank, and Rank is {config.lora_rank}. Set it to {lower} or "
            f"{config.lora_rank + 1}."]  # fmt: skip


@functools.lru_cache(maxsize=64)
def _report(model: Model | None, text: str | None, adapter: str) -> dict[str, Any]:
    """Return the report of `examine`, made in another process.

    Args:
        model: A model of the Hub; None for a local one.
        text: A local model's config.json; None for a model of the Hub.
        adapter: The run's fields of `_ADAPTER_FIELDS`, as JSON.

    Raises:
        StudioError: There is no report. Nothing is cached then: a network may come back.
    """
    environment = os.environ | {"PYTHONPATH": python_path(), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "core.runs.preflight_model"],
            input=json.dumps({"model": model and asdict(model), "text": text, "adapter": json.loads(adapter)}),
            capture_output=True, text=True, env=environment, timeout=_TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _unexamined(f"it took more than {_TIMEOUT_SECONDS} seconds") from error
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        print(done.stderr, file=sys.stderr)
        last_line = next(iter(done.stderr.strip().splitlines()[-1:]), "no message")
        raise _unexamined(f"its process ended with status {done.returncode}: {last_line[:200]}") from error
    if report.get("unreadable"):
        raise StudioError(report["unreadable"])
    return report


def _unexamined(reason: str) -> StudioError:
    return StudioError(
        f"The model could not be examined before the run ({reason}). Check that enough memory is free, then try again."
    )


def examine(model_config: Any, config: QLoRAConfig) -> dict[str, Any]:
    """Build a model without weights, apply the adapter, and report.

    Args:
        model_config: The model's `PretrainedConfig`.
        config: The run.
    """
    report: dict[str, Any] = {"problems": [], "warnings": [], "fine": "", "fields": {}}
    if config.attention == "sdpa" and getattr(model_config.get_text_config(), "attn_logit_softcapping", None):
        text = f"{config.model} caps its attention scores, which Attention sdpa leaves out. Set Attention to auto."
        _add(report, "attention", text)
    if config.classifies and (why := classifier.unclassifiable_reason(model_config)):
        _add(report, "model", f"No classifier can be trained from {config.model}: {why}. Choose another model.")
        return report
    if not config.classifies and (why := support.unanswerable_reason(model_config)):
        report["warnings"].append(f"Chat and Evaluate will not answer with {config.model}: {why}.")
    try:
        model = _build_empty(model_config, config)
    # Each family raises its own kinds of errors for a config that it cannot build.
    except Exception as error:
        text = f"transformers cannot build {config.model} from its config.json ({_first_line(error)})"
        _add(report, "model", f"{text}. Choose another model, or repair its config.")
        return report
    found = targets.resolve(model, config)
    _add(report, "lora_targets", *found.problems)
    _add(report, "modules_to_save", *found.whole_problems)
    _add(report, "lora_rank", *_too_large_a_rank(model, found, config))
    _add(report, "quantization", *_quantized(model, found, config))
    report["warnings"] += found.notes
    if not report["problems"]:
        _apply(model, found, config, report)
    return report


def _add(report: dict[str, Any], name: str, *problems: str) -> None:
    """Add problems, and the field at which the page shows them."""
    report["problems"] += problems
    report["fields"] |= {text: [name] for text in problems}


def _build_empty(model_config: Any, config: QLoRAConfig) -> Any:
    """Return the model without weights; a classifier with two labels, because their number changes no other module."""
    import torch
    from transformers import AutoModelForCausalLM

    if config.classifies:
        return classifier.build_empty(model_config, 2)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(model_config, dtype=torch.float32, trust_remote_code=False)


def _apply(model: Any, found: targets.Targets, config: QLoRAConfig, report: dict[str, Any]) -> None:
    """Apply the adapter as PEFT does; report what it refuses, or how much is trained."""
    from peft import get_peft_model

    from core.runs.adapter import lora_config

    lora = lora_config(config, found.modules, found.head)
    # Initial values need weights; their conditions are checked by name.
    lora.init_lora_weights = False
    try:
        peft = get_peft_model(model, lora, low_cpu_mem_usage=True)
    # Each kind of layer raises its own kinds of errors.
    except Exception as error:
        text = f"PEFT cannot apply this adapter to {config.model} ({_first_line(error)})"
        _add(report, "lora_targets", f"{text}. Change Target modules, Dropout, DoRA or Bias.")
        return
    tuner = peft.base_model
    parameters, left = tuner.targeted_parameter_names, set(found.matched) - set(tuner.targeted_module_names)
    if parameters:
        report["warnings"].append(
            f"In {config.model}, PEFT adapts experts and routers as parameters, not as modules: "
            f"{targets.short(parameters, 2)}. Name attention as the target to leave them alone."
        )
    if left:
        report["warnings"].append(
            f"PEFT gives no adapter to {targets.short(sorted(left), 2)} of {config.model}, whose names are those of "
            "its experts' weights. Name attention as the target to train what is named."
        )
    trained = sum(parameter.numel() for parameter in peft.parameters() if parameter.requires_grad)
    head = ", the classifier's head among them" if found.head else ""
    whole = f"; {counted(len(found.whole), 'is', 'are')} fully trained{head}" if found.whole else ""
    adapted = len(tuner.targeted_module_names) + len(parameters)
    modules = counted(adapted, "module gets", "modules get")
    report["fine"] = f"{modules} an adapter{whole}: {counted(trained, 'parameter is', 'parameters are')} trained."


def _too_large_a_rank(model: Any, found: targets.Targets, config: QLoRAConfig) -> list[str]:
    """Check initializations by singular vectors, of which a matrix has as many as its smaller side."""
    from peft.tuners.tuners_utils import _get_in_out_features

    if config.lora_init not in ("pissa", "loftq"):
        return []
    sides = {name: _get_in_out_features(model.get_submodule(name)) for name in found.matched}
    known = {name: min(pair) for name, pair in sides.items() if None not in pair}
    name = min(known, key=known.__getitem__, default=None)
    if name is None or config.lora_rank <= known[name]:
        return []
    return [f"Rank {config.lora_rank} is above the smaller side of {name} ({known[name]}), and {config.lora_init} has "
            f"no more directions. Set Rank to {known[name]} or less, or Initialization to default."]  # fmt: skip


def _quantized(model: Any, found: targets.Targets, config: QLoRAConfig) -> list[str]:
    """Check that no module that is fully trained is quantized; the output layer never is."""
    if config.quantization == "none":
        return []
    linear, refused = targets.linear_layers(model, found.head)
    inside = [name for name in found.whole if any(f"{layer}.".startswith(f"{name}.") for layer in [*linear, *refused])]
    if not inside:
        return []
    return [f"{inside[0]} is quantized to {config.quantization} and cannot be fully trained. Remove it from Modules to "
            "train whole, or set Quantization to none."]  # fmt: skip


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def build_report(request: dict[str, Any]) -> dict[str, Any]:
    """Return the report on a model, or why its config cannot be read.

    Args:
        request: "model" and "text" as `_report` takes them, and "adapter", fields of the run.
    """
    config = QLoRAConfig(**request["adapter"])
    if request["model"]:
        model_config, unreadable = read_config(Model(**request["model"]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(request["text"], encoding="utf-8")
            model_config, unreadable = read_config(Model(config.model, config.model, folder, local=True))
        unreadable = unreadable.replace(folder, config.model)
    return examine(model_config, config) if model_config else {"unreadable": unreadable}


def main() -> None:
    """Read a model and an adapter as JSON from standard input; write the report as the last line."""
    _LIMITS.apply()
    print(json.dumps(build_report(json.load(sys.stdin))))


if __name__ == "__main__":
    main()
