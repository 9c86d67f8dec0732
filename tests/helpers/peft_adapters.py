"""Adapters that plain PEFT saves, in any of its variants of LoRA."""

import copy

import torch
from peft import LoraConfig, get_peft_model


def save_adapter(model, folder, options, base=None):
    """Save an adapter whose trainable values all differ from their initial ones; return its folder.

    Args:
        model: The base, which stays as it is.
        folder: Receives the adapter.
        options: Options of `LoraConfig`.
        base: The base's name in the adapter's settings, if it is another one than the model's.
    """
    config = LoraConfig(**({"r": 4, "lora_alpha": 12, "task_type": "CAUSAL_LM"} | options))
    tuned = get_peft_model(copy.deepcopy(model), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (each for each in tuned.parameters() if each.requires_grad):
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    if base is not None:
        tuned.peft_config["default"].base_model_name_or_path = base
    tuned.save_pretrained(folder)
    return folder
