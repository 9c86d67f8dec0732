"""Several adapters of one base model as one, as PEFT's `add_weighted_adapter` combines them.

The sum of the changes of a module is

    dW = sum_i w_i s_i B_i A_i        w: weights, s: scales, A (rank, inputs), B (outputs, rank)

    cat     A = [w_i s_i A_i], B = [B_i] end to end: exactly dW; its rank is the sum of the ranks
    svd     the best approximation of dW of the largest rank, by its singular values
    linear  A = sum sqrt(w_i s_i) A_i, B = sum sqrt(w_i s_i) B_i: of equal ranks only, and B A also has the products of
            one adapter's B with another's A, which belong to no adapter

PEFT needs the base model in memory, and for svd the singular values of dW itself. Here the files of the adapters are
enough: dW is a product of thin matrices, so its singular values are those of the product of their QR factors. The
factors are written in float32, with a scale of 1.
"""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.chat.adapter_patterns import module_scales
from core.chat.adapters import LoraWeights, read_adapter
from core.chat.peft_model import CONFIG, WEIGHTS
from core.errors import StudioError
from core.export.card.facts import base_name
from core.export.config import Combination, ExportConfig
from core.export.merge import MergedModel
from core.export.parts import Combined, Part, parse_parts
from core.runs import yaml_io
from core.runs.adapters import adapter_folder
from core.runs.imported import find_tuned
from core.runs.store import Run, RunStore
from core.settings import Settings

if TYPE_CHECKING:
    import torch

_PREFIX = "base_model.model."
_TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True)
class _Factors:
    """An adapter that is combined.

    Attributes:
        title: Its name for the user.
        weight: Its weight.
        lora: Its factors, B with its scale, by module.
        scales: The scale of each module.
    """

    title: str
    weight: float
    lora: dict[str, LoraWeights]
    scales: dict[str, float]


def combine(settings: Settings, run: Run, adapter: str, config: ExportConfig, folder: Path) -> Combined:
    """Write the combination of a run's adapter with those that the settings name, as a folder that PEFT loads.

    Args:
        settings: The studio's settings.
        run: The run.
        adapter: "final", or "step N".
        config: Names the others, the weights and the kind of the combination.
        folder: An empty folder.

    Raises:
        StudioError: There is no such adapter, or one does not fit the others.
    """
    parts = [Part(run.id, adapter, config.weight), *parse_parts(config.also)]
    if (own := parts[0]) in [Part(part.run, part.adapter, own.weight) for part in parts[1:]]:
        raise StudioError(f"{run.id}/{adapter} is the exported adapter itself. Set its weight by Own weight.")
    store = RunStore(settings)
    runs = [run, *(find_tuned(store, part.run) for part in parts[1:])]
    _check_bases(runs)
    read = [_read(each, part) for each, part in zip(runs, parts, strict=True)]
    _write(_combine(read, config.combination), base_name(run), folder)
    template = adapter_folder(run, adapter) / _TEMPLATE
    if template.is_file():
        shutil.copyfile(template, folder / _TEMPLATE)
    titles = tuple(f"{one.weight:g} × {one.title}" for one in read)
    return Combined(folder, titles, tuple(runs), _notes(runs, parts, template))


def _check_bases(runs: list[Run]) -> None:
    """Check that all adapters belong to the same base model."""
    base = runs[0].config().model.strip()
    for run in runs[1:]:
        if (other := run.config().model.strip()) != base:
            raise StudioError(
                f"The adapter {run.title} belongs to the base model {other}, and {runs[0].title} to {base}. Only "
                "adapters of one base model can be combined: leave it out."
            )


def _read(run: Run, part: Part) -> _Factors:
    """Read an adapter.

    Raises:
        StudioError: There is none, or it is more than plain LoRA.
    """
    import torch

    title = f"{run.title} ({part.adapter})"
    if run.config().classifies:
        raise StudioError(f"{title} is a classifier, whose head cannot be added to another one. Leave it out.")
    adapter = read_adapter(adapter_folder(run, part.adapter), torch.float32, torch.device("cpu"))
    if not adapter.lora:
        raise StudioError(
            f"{title} cannot be combined with others: only plain LoRA can be added, and it has {adapter.special}. "
            "Leave it out."
        )
    return _Factors(title, part.weight, adapter.lora, module_scales(adapter.config, list(adapter.lora), title))


def _combine(parts: list[_Factors], kind: Combination) -> dict[str, LoraWeights]:
    """Return the combined factors of each module, all of the same rank."""
    modules = list(dict.fromkeys(name for part in parts for name in part.lora))
    largest = max(lora.a.shape[0] for part in parts for lora in part.lora.values())
    combined = {}
    for name in modules:
        used = [part for part in parts if name in part.lora]
        _check_shapes(name, used, kind)
        if kind == "linear":
            combined[name] = _add(name, used)
        elif kind == "cat":
            combined[name] = _stack(name, used)
        else:
            combined[name] = _truncate(_stack(name, used), largest)
    # A module that fewer adapters change is filled up with zeros.
    rank = max(lora.a.shape[0] for lora in combined.values())
    return {name: _fill(lora, rank) for name, lora in combined.items()}


def _check_shapes(name: str, parts: list[_Factors], kind: Combination) -> None:
    first = parts[0]
    for part in parts[1:]:
        one, other = first.lora[name], part.lora[name]
        if (one.a.shape[1], one.b.shape[0]) != (other.a.shape[1], other.b.shape[0]):
            raise StudioError(
                f"{part.title} changes the module {name} in another size than {first.title}, so they belong to "
                "different models. Leave it out."
            )
        if kind == "linear" and one.a.shape[0] != other.a.shape[0]:
            raise StudioError(
                f"The combination linear needs equal ranks, and at {name} {first.title} has {one.a.shape[0]} and "
                f"{part.title} {other.a.shape[0]}. Choose cat or svd."
            )


def _add(name: str, parts: list[_Factors]) -> LoraWeights:
    """Return the sum of the factors, each with the root of its weight; the sign of a weight goes to A."""
    first = parts[0].lora[name]
    a, b = first.a * 0, first.b * 0
    for part in parts:
        lora, scale = part.lora[name], part.scales[name]
        # Without a scale, the module is not changed.
        if scale:
            root = math.sqrt(abs(part.weight * scale))
            a += math.copysign(root, part.weight * scale) * lora.a
            b += root / scale * lora.b
    return LoraWeights(a, b)


def _stack(name: str, parts: list[_Factors]) -> LoraWeights:
    """Return the factors end to end."""
    import torch

    a = torch.cat([part.weight * part.lora[name].a for part in parts])
    return LoraWeights(a, torch.cat([part.lora[name].b for part in parts], 1))


def _truncate(lora: LoraWeights, rank: int) -> LoraWeights:
    """Return the factors of a rank whose product comes closest to that of larger factors."""
    import torch

    left, left_rest = torch.linalg.qr(lora.b.double())
    right, right_rest = torch.linalg.qr(lora.a.double().T)
    u, values, v = torch.linalg.svd(left_rest @ right_rest.T, full_matrices=False)
    b, a = left @ (u[:, :rank] * values[:rank]), v[:rank] @ right.T
    return LoraWeights(a.float(), b.float())


def _fill(lora: LoraWeights, rank: int) -> LoraWeights:
    """Return factors of a larger rank with the same product."""
    import torch

    missing = rank - lora.a.shape[0]
    return LoraWeights(
        torch.nn.functional.pad(lora.a, (0, 0, 0, missing)), torch.nn.functional.pad(lora.b, (0, missing))
    )


def _write(lora: dict[str, LoraWeights], base: str, folder: Path) -> None:
    """Write factors as PEFT's files, with a scale of 1."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for name, one in lora.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = one.a.contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = one.b.contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    rank = next(iter(lora.values())).a.shape[0]
    # PEFT also takes ends of names, but modules that no part changes may end alike, so these names are whole.
    options = {"target_modules": list(lora), "base_model_name_or_path": base, "task_type": "CAUSAL_LM"}
    LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, inference_mode=True, **options).save_pretrained(folder)


def _notes(runs: list[Run], parts: list[Part], template: Path) -> list[str]:
    """Return how the training of each further part differed from the first one's, in what changes its answers."""
    found, first = [], runs[0].config()
    own = template.read_bytes() if template.is_file() else None
    for run, part in zip(runs[1:], parts[1:], strict=True):
        config, path = run.config(), adapter_folder(run, part.adapter) / _TEMPLATE
        if own and path.is_file() and path.read_bytes() != own:
            found.append(f"{run.title} was trained with another chat template; that of {runs[0].title} is used.")
        if config.quantization != first.quantization:
            found.append(f"{run.title} was trained on the base in {config.quantization}, not in {first.quantization}.")
        if config.revision != first.revision:
            names = [each.revision or "main" for each in (config, first)]
            found.append(f"{run.title} was trained on the base's revision {names[0]}, not on {names[1]}.")
    return found


def write_folder(run: Run, merged: MergedModel, folder: Path) -> None:
    """Write a combined adapter into the folder of its zip, with the settings of the run to which the others were added.

    It has no receipt: no run has trained it.

    Args:
        run: The run.
        merged: The base with the adapter; its strength is multiplied into B.
        folder: Receives the files.
    """
    from safetensors.torch import save_file

    tensors = {
        name: tensor * merged.strength if ".lora_B." in name else tensor
        for name, tensor in merged.adapter.tensors.items()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    for file in (CONFIG, _TEMPLATE):
        if (merged.adapter_folder / file).is_file():
            shutil.copyfile(merged.adapter_folder / file, folder / file)
    (folder / "settings.yaml").write_text(yaml_io.to_yaml(run.config()), encoding="utf-8")
