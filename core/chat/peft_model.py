"""Loading of an adapter with PEFT over the weights of a base model that stays unchanged.

PEFT puts its layers into the model that it is given. Here it is given a second tree of modules that shares the base's
parameters, so the base keeps its own modules, and the weights are in memory once. Parameters that an adapter's file
overwrites (biases, resized embeddings) are cloned first.
"""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, PeftModelForCausalLM
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from peft.utils.save_and_load import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from core.chat import adapter_patterns, adapter_settings
from core.errors import StudioError, reason_of, shorten_value
from core.system.counting import counted

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Name of the only adapter in each of PEFT's models.
_ADAPTER_NAME = "default"
# Initializations that only fill A and B, which the file holds. All others also rewrite the base's weights.
_KEEPS_BASE = (True, False, "gaussian", "orthogonal", "eva")
# Keys of adapter_config.json that describe the adapter's history and change no result.
_DESCRIPTIVE = {
    "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode", "lora_dropout",
    "loftq_config", "peft_type", "peft_version", "revision", "runtime_config", "task_type",
}  # fmt: skip


def read_config(folder: Path) -> LoraConfig:
    """Read adapter_config.json.

    Raises:
        StudioError: The folder holds no adapter, or one that cannot be applied to an unchanged base.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise StudioError(f"{folder.name!r} holds no adapter ({CONFIG} and {WEIGHTS}). Choose another folder.")
    found = adapter_settings.read_settings(folder / CONFIG, folder.name)
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    if unknown := sorted(key for key, value in found.items() if key not in known | _DESCRIPTIVE and value):
        raise StudioError(
            f"The adapter {folder.name!r} has the setting {shorten_value(unknown[0])}, which this version of PEFT "
            "does not know. Update PEFT, or train the adapter without it."
        )
    init = found.get("init_lora_weights", True)
    if init not in _KEEPS_BASE:
        raise StudioError(
            f"The adapter {folder.name!r} belongs to base weights that {init} changed. Save it for the original base: "
            "save_pretrained with path_initial_model_for_weight_conversion."
        )
    # The file holds every value that an initialization would compute.
    read = {key: value for key, value in found.items() if key in known and key not in ("runtime_config", "eva_config")}
    try:
        return LoraConfig(**(read | {"init_lora_weights": True, "inference_mode": True, "lora_dropout": 0.0}))
    except (TypeError, ValueError) as error:
        reason = str(error)[:300]
        raise StudioError(f"PEFT refuses the configuration of the adapter {folder.name!r}: {reason}") from error


def read_tensors(folder: Path, config: LoraConfig) -> dict[str, torch.Tensor]:
    """Return all tensors of an adapter's file, by their names there.

    Raises:
        StudioError: The file is damaged, or its tensors are smaller than the settings say.
    """
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise StudioError(
            f"The adapter {folder.name!r} could not be read: {WEIGHTS} is damaged ({reason_of(error)[:300]})."
        ) from error
    adapter_patterns.check_ranks(config, tensors, folder.name)
    return tensors


def special_settings(config: LoraConfig) -> list[str]:
    """Return the names of the settings that make an adapter more than plain LoRA."""
    plain = LoraConfig()
    names = (
        "use_dora", "lora_bias", "use_qalora", "alora_invocation_tokens", "layer_replication", "target_parameters",
        "trainable_token_indices", "modules_to_save", "arrow_config", "kasa_config", "monteclora_config",
        "velora_config", "use_bdlora", "megatron_config",
    )  # fmt: skip
    return [name for name in names if getattr(config, name, None) != getattr(plain, name, None)]


def unbatched_reason(config: LoraConfig) -> str:
    """Return the setting for which hooks on single rows cannot apply an adapter; empty if they can."""
    if config.layer_replication:
        return "the adapter repeats layers (layer_replication)"
    if config.alora_invocation_tokens:
        return "the adapter begins at its invocation tokens (aLoRA)"
    if config.target_parameters:
        return "the adapter changes parameters rather than modules (target_parameters)"
    return ""


def load(
    base: torch.nn.Module, config: LoraConfig, tensors: dict[str, torch.Tensor], name: str,
    kind: type[PeftModel] = PeftModelForCausalLM,
) -> PeftModel:  # fmt: skip
    """Load an adapter with PEFT over the base's weights.

    Args:
        base: The model; it is not changed.
        config: Configuration of the adapter.
        tensors: All tensors of its file.
        name: Name of the adapter, for messages.
        kind: PEFT's class for the model's task.

    Returns:
        PEFT's model, in evaluation mode and without gradients.

    Raises:
        StudioError: PEFT cannot apply the adapter to this model, or would not use a tensor of the file.
    """
    config = adapter_patterns.resolve(config, base, tensors, name)
    try:
        # Parameters made in inference mode could not be loaded into.
        with torch.inference_mode(False):
            tuned = kind(_shared_tree(base), config, _ADAPTER_NAME, autocast_adapter_dtype=False).eval()
            _clone_overwritten(tuned, base, set(tensors))
            result = set_peft_model_state_dict(tuned, tensors)
    # PEFT applies settings and tensors unchecked, so any error of it is one of the adapter.
    except Exception as error:
        raise StudioError(
            f"The adapter {name!r} belongs to another model, or cannot be applied to this one: {_first_line(error)}"
        ) from error
    _check_used(tuned, result, name)
    return tuned.requires_grad_(False)


def _check_used(tuned: PeftModel, result: Any, name: str) -> None:
    """Check that an adapter's file has a tensor for every parameter of the adapter, and no others.

    Args:
        tuned: The model with the adapter.
        result: What PEFT returned when the file was loaded.
        name: Name of the adapter, for messages.

    Raises:
        StudioError: A tensor is missing, or belongs to no parameter.
    """
    if unused := sorted(result.unexpected_keys):
        raise StudioError(
            f"The adapter {name!r} belongs to another model: its tensor {unused[0].removeprefix(_PREFIX)} has no "
            f"module here ({counted(len(unused), 'such tensor')})."
        )
    # Tied parameters are listed once, as in the file.
    own = [key for key, _ in tuned.named_parameters() if _ADAPTER_NAME in key.split(".")]
    if missing := sorted(set(own) & set(result.missing_keys)):
        raise StudioError(
            f"The adapter {name!r} is incomplete: its file has no tensor for {missing[0].removeprefix(_PREFIX)} "
            f"({counted(len(missing), 'is', 'are')} missing)."
        )


def changed_layers(base: torch.nn.Module, tuned: PeftModel) -> dict[str, torch.nn.Module]:
    """Return the modules of PEFT's model that compute something else than the base's, by the base's names.

    These are PEFT's layers, and modules with weights of their own, such as a norm whose bias was trained.
    """
    theirs = dict(tuned.get_base_model().named_modules())
    found: dict[str, torch.nn.Module] = {}
    for name, module in base.named_modules():
        # A module inside a replaced one is computed by its replacement.
        if any(name.startswith(f"{outer}.") for outer in found):
            continue
        own = theirs.get(name)
        if isinstance(own, BaseTunerLayer | AuxiliaryTrainingWrapper):
            found[name] = own
        elif own is not None:
            pairs = zip(module.parameters(recurse=False), own.parameters(recurse=False), strict=True)
            if any(one is not other for one, other in pairs):
                found[name] = own
    return found


def _shared_tree(base: torch.nn.Module) -> torch.nn.Module:
    """Copy the tree of modules, sharing its parameters and all buffers that a forward pass does not write."""
    # deepcopy takes every object in the memo as it is, instead of copying it.
    memo: dict[int, object] = {id(parameter): parameter for parameter in base.parameters()}
    # Rotary embeddings that depend on the length rewrite their frequencies in place.
    memo |= {id(buffer): buffer for key, buffer in base.named_buffers() if "inv_freq" not in key}
    for module in base.modules():
        # bitsandbytes keeps the scales of quantized weights, and int8 weights themselves, in objects of its own.
        memo |= {
            id(kept): kept for name in ("quant_state", "state") if (kept := getattr(module, name, None)) is not None
        }
    # PEFT changes some fields of the config.
    memo[id(base.config)] = copy.deepcopy(base.config)
    shared = copy.deepcopy(base, memo)
    # The base's hooks belong to its own rows of a batch (core.chat.adapters).
    for module in shared.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return shared


def _clone_overwritten(tuned: PeftModel, base: torch.nn.Module, file_keys: set[str]) -> None:
    """Clone the base's parameters that the adapter's file has values for.

    These are biases, resized embeddings and the like. Loading copies into them in place, which would change the base.
    """
    shared = {id(parameter) for parameter in base.parameters()}
    keys = {_PREFIX + key.removeprefix(_PREFIX) for key in file_keys}
    copies = {
        id(parameter): torch.nn.Parameter(parameter.data.clone(), requires_grad=False)
        for key, parameter in tuned.named_parameters(remove_duplicate=False)
        if key in keys and id(parameter) in shared
    }
    for module in tuned.modules():
        for name, parameter in module._parameters.items():
            if id(parameter) in copies:
                module._parameters[name] = copies[id(parameter)]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
