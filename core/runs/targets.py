"""Resolution of the modules that LoRA adapts and of those that are fully trained, on the model itself.

Names match as in PEFT, by PEFT's own functions: a target is a module's whole name or its end after a dot; a module is
fully trained if its name ends with the given text. Preflight resolves on the meta device, training on the loaded model,
so both reach the same result. Imports torch and PEFT only when called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import StudioError
from core.models.classifier import head_modules
from core.runs.config import QLoRAConfig
from core.runs.config.lora import ALL_LINEAR, ATTENTION, GROUPS, MLP

if TYPE_CHECKING:
    from torch import nn

# Parts of the names of a block's halves, and names of linear layers where a family has no such half.
_HALVES = {ATTENTION: ("attn", "attention"), MLP: ("mlp", "feed_forward", "ffn", "expert", "moe")}
_LAYERS = {
    ATTENTION: {"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv"},
    MLP: {"fc1", "fc2", "gate_proj", "up_proj", "down_proj", "gate_up_proj"},
}
# Linear layers inside an MLP that choose experts instead of transforming tokens.
_ROUTERS = {"router", "gate", "shared_expert_gate"}


@dataclass
class Targets:
    """Resolved targets of a run.

    Attributes:
        modules: The value of PEFT's `target_modules`.
        matched: Full names of the modules that get an adapter.
        whole: Full names of the modules that are fully trained.
        head: Full names of the modules in `whole` that are a classifier's head; empty for a model that generates text.
        problems: Sentences on targets that cannot be used.
        whole_problems: Sentences on modules to train whole that the model does not have.
        notes: Sentences on what a group leaves out.
    """

    modules: str | list[str] = ALL_LINEAR
    matched: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    whole_problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def require(model: "nn.Module", config: QLoRAConfig) -> Targets:
    """Return the targets of a run on a model.

    Raises:
        StudioError: A name matches nothing that can be trained.
    """
    found = resolve(model, config)
    if problems := [*found.problems, *found.whole_problems]:
        raise StudioError(" ".join(problems))
    return found


def resolve(model: "nn.Module", config: QLoRAConfig) -> Targets:
    """Return the targets of a run on a model, with a sentence for every name that cannot be used."""
    found = Targets(head=head_modules(model) if config.classifies else [])
    linear, refused = linear_layers(model, found.head)
    found.whole = _whole(model, config, found)
    whole = [*config.whole_modules, *found.head]
    output = output_layer(model)
    modules: list[str] = []
    for name in config.target_names:
        if name in GROUPS:
            layers = _group(name, linear)
            if name == ALL_LINEAR and refused:
                found.notes.append(
                    f"{ALL_LINEAR} leaves out {short(refused)} of {config.model}: PEFT cannot adapt them in a Mamba "
                    "block."
                )
        else:
            layers = _matching(model, [name])
            if problem := _unusable(model, name, layers, output, refused, config):
                found.problems.append(problem)
                continue
        if not layers:
            found.problems.append(_nothing(f"The target {name!r} matches no module", config, linear))
        elif not _matching(model, layers, whole):
            found.problems.append(
                f"All that the target {name!r} matches is fully trained. Remove it from Target modules or from Modules "
                "to train whole."
            )
        modules += layers if name in GROUPS else [name]
    found.matched = _matching(model, modules, whole)
    # If the result is all that PEFT means by "all-linear", that word is passed on, so that adapter_config.json says it.
    # PEFT knows only the usual names of a classifier's head, so the word is not used for a classifier.
    whole_word = config.target_names == [ALL_LINEAR] and not refused and not found.head
    found.modules = ALL_LINEAR if whole_word else list(dict.fromkeys(modules))
    return found


def linear_layers(model: "nn.Module", head: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return full names of the linear layers that PEFT's "all-linear" means, and of those that PEFT then refuses.

    Args:
        model: The model.
        head: Modules of a classifier's head, whose layers are left out.
    """
    from peft import LoraConfig
    from peft.tuners.tuners_utils import _check_lora_target_modules_mamba, _maybe_include_all_linear_layers

    lora = LoraConfig(target_modules=ALL_LINEAR, task_type="CAUSAL_LM")
    names = set(_maybe_include_all_linear_layers(lora, model).target_modules)
    taken, refused = [], []
    for name, _ in model.named_modules():
        if name not in names or any(f"{name}.".startswith(f"{part}.") for part in head):
            continue
        try:
            _check_lora_target_modules_mamba(lora, model, name.rpartition(".")[2])
        except ValueError:
            refused.append(name)
        else:
            taken.append(name)
    return taken, refused


def output_layer(model: "nn.Module") -> str | None:
    """Return the full name of the layer that makes the logits."""
    head = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), None) if head is not None else None


def _group(name: str, linear: list[str]) -> list[str]:
    if name == ALL_LINEAR:
        return linear

    def belongs(layer: str) -> bool:
        parent, _, leaf = layer.rpartition(".")
        inside = any(half in part.lower() for half in _HALVES[name] for part in parent.split("."))
        other = MLP if name == ATTENTION else ATTENTION
        elsewhere = any(half in part.lower() for half in _HALVES[other] for part in parent.split("."))
        return leaf not in _ROUTERS and (inside or (leaf in _LAYERS[name] and not elsewhere))

    return [layer for layer in linear if belongs(layer)]


def _matching(model: "nn.Module", names: list[str], whole: list[str] | None = None) -> list[str]:
    """Return full names of the modules that PEFT finds by any of the names, without those that are fully trained."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    lora = LoraConfig(target_modules=names, modules_to_save=whole or None)
    return [key for key, _ in model.named_modules() if key and check_target_module_exists(lora, key)]


def _unusable(
    model: "nn.Module", name: str, layers: list[str], output: str | None, refused: list[str], config: QLoRAConfig
) -> str | None:
    """Return a sentence on a name that matches something other than modules that LoRA adapts, or None."""
    linear, _ = linear_layers(model)
    if output in layers:
        return (
            f"The target {name!r} is the output layer of {config.model}, whose adapter TRL cannot train. Remove it "
            "from Target modules, or add it to Modules to train whole."
        )
    if layers and set(layers) <= set(refused):
        return _nothing(f"PEFT cannot adapt {name!r} in a Mamba block", config, linear)
    if not layers and any(key == name or key.endswith(f".{name}") for key, _ in model.named_parameters()):
        return _nothing(f"The target {name!r} is a parameter, not a module; only modules get adapters", config, linear)
    kinds = {type(model.get_submodule(layer)).__name__ for layer in layers if not _adaptable(model, layer)}
    if kinds:
        return _nothing(f"The target {name!r} matches modules that LoRA cannot adapt ({', '.join(sorted(kinds))})",
                        config, linear)  # fmt: skip
    return None


def _adaptable(model: "nn.Module", name: str) -> bool:
    """Return whether PEFT has a LoRA layer for the module."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention, Conv1D)
    return isinstance(model.get_submodule(name), kinds)


def _whole(model: "nn.Module", config: QLoRAConfig, found: Targets) -> list[str]:
    """Return full names of the modules that are fully trained; names that match none become problems."""
    names = [key for key, _ in model.named_modules() if key]
    matched: list[str] = []
    for wanted in config.whole_modules:
        # PEFT's `_set_trainable` compares the ends of names, without a dot before.
        layers = [key for key in names if key.endswith(wanted)]
        if not layers:
            there = short([key for key, module in model.named_modules() if key and not list(module.children())])
            found.whole_problems.append(
                f"The module to train whole {wanted!r} is not in {config.model}. Expected one or more of: {there}."
            )
        matched += layers
    return list(dict.fromkeys([*matched, *found.head]))


def _nothing(what: str, config: QLoRAConfig, linear: list[str]) -> str:
    groups = [name for name in GROUPS if _group(name, linear)]
    there = ", ".join(groups) + (f", or module names: {short(linear)}" if linear else "")
    return f"{what} of {config.model}. Expected {there or 'another model: it has no linear layers'}."


def short(names: list[str], parts: int = 1) -> str:
    """Return the last parts of module names, each once."""
    return ", ".join(sorted({".".join(name.split(".")[-parts:]) for name in names}))
