"""Serving of an adapter beside its base by vLLM, SGLang and TGI: the command, or why an engine cannot serve it.

None of them was run here. The limits are those of their documentation and source, which docs/export.md cites with the
versions. An engine that would serve an adapter with another scale, without an error, counts as one that cannot.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chat.adapter_settings import read_settings
from core.data.listing import list_some
from core.errors import StudioError, reason_of
from core.models.weight_headers import read_shapes

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Values of vLLM's --max-lora-rank; a smaller adapter fits into the next one.
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
# Projections of models of Llama's form, which all three serve, and those that only some families have.
_PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
_FUSED = {"qkv_proj", "gate_up_proj"}
_SHOWN = 3


@dataclass(frozen=True)
class AdapterFacts:
    """Facts about an adapter's files that decide which engine serves it.

    Attributes:
        rank: Its rank.
        targets: How many modules of each name it changes, such as q_proj.
        settings: adapter_config.json.
        others: Names of tensors that are no factors of plain LoRA.
    """

    rank: int
    targets: dict[str, int]
    settings: dict[str, Any]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Serving:
    """How an engine serves an adapter.

    Attributes:
        engine: Name of the engine.
        command: The command line; "" if it cannot.
        problem: Why not, as a sentence; "" if it can.
    """

    engine: str
    command: str
    problem: str = ""


@dataclass(frozen=True)
class _Engine:
    """An engine.

    Attributes:
        name: Its name.
        targets: Names of the modules that it serves.
        refused: Settings that it refuses or ignores, each with the reason.
        problem: Returns a further reason; "" if there is none.
        command: Returns the command line for a base and the adapter's name.
    """

    name: str
    targets: set[str]
    refused: dict[str, str]
    problem: Callable[[AdapterFacts], str]
    command: Callable[[AdapterFacts, str, str], str]


def read_facts(folder: Path) -> AdapterFacts:
    """Return the facts about the adapter in a folder; only the names of its tensors are read.

    Raises:
        StudioError: The folder holds no adapter, or one that is damaged.
    """
    try:
        settings, names = read_settings(folder / _CONFIG, folder.name), list(read_shapes(folder / _WEIGHTS))
    except (OSError, ValueError) as error:
        raise StudioError(
            f"The adapter {folder.name!r} is damaged or incomplete ({reason_of(error)}). Choose another adapter or "
            "checkpoint."
        ) from error
    modules = [name.removesuffix(".lora_A.weight") for name in names if name.endswith(".lora_A.weight")]
    others = [name for name in names if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    targets = Counter(module.rpartition(".")[2] for module in modules)
    return AdapterFacts(int(settings.get("r", 8)), dict(targets), settings, tuple(others))


def plan_serving(facts: AdapterFacts, base: str, name: str) -> list[Serving]:
    """Return how each engine serves an adapter; the commands are run beside the adapter's folder.

    Args:
        facts: The adapter.
        base: The base model, as another machine finds it.
        name: Name of the adapter's folder.
    """
    found = []
    for engine in _ENGINES:
        problem = _problem(engine, facts)
        # Names on the Hub have no special character; a local folder may be named anything.
        if not problem and not re.fullmatch(r"[\w./-]+", base):
            problem = f"the name of the base model, {base!r}, is no Hub id: put its path in its place"
        sentence = f"{engine.name} cannot serve this adapter as it is: {problem}." if problem else ""
        found.append(Serving(engine.name, "" if problem else engine.command(facts, base, name), sentence))
    return found


def _problem(engine: _Engine, facts: AdapterFacts) -> str:
    """Return why an engine cannot serve an adapter, as the rest of a sentence; "" if it can."""
    for name, reason in engine.refused.items():
        if facts.settings.get(name) not in (None, False, "none", {}, []):
            return f"{reason} ({name}); export the merged model"
    if facts.others:
        return f"the adapter has tensors beside plain LoRA, such as {facts.others[0]}; export the merged model"
    if unknown := sorted(set(facts.targets) - engine.targets):
        names = list_some(unknown, _SHOWN)
        return f"the adapter changes {names}, for which no LoRA is documented; export the merged model"
    return engine.problem(facts)


def _vllm_problem(facts: AdapterFacts) -> str:
    largest = _VLLM_RANKS[-1]
    return (
        f"the rank is {facts.rank:,}, and the largest is {largest}; train a smaller one" if facts.rank > largest else ""
    )


def _vllm_command(facts: AdapterFacts, base: str, name: str) -> str:
    rank = next(rank for rank in _VLLM_RANKS if rank >= facts.rank)
    return f"vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules {name}=./{name}"


def _sglang_command(facts: AdapterFacts, base: str, name: str) -> str:
    return f"python -m sglang.launch_server --model-path {base} --enable-lora --lora-paths {name}=./{name}"


def _tgi_problem(facts: AdapterFacts) -> str:
    """Return which modules are changed in some layers only, since TGI leaves these out in all layers; "" if none is."""
    most = max(facts.targets.values(), default=0)
    partly = sorted(name for name, count in facts.targets.items() if count < most)
    return f"the adapter changes {list_some(partly, _SHOWN)} in some layers only, which TGI ignores" if partly else ""


def _tgi_command(facts: AdapterFacts, base: str, name: str) -> str:
    return f"LORA_ADAPTERS={name}=./{name} text-generation-launcher --model-id {base}"


# Each engine computes one scale for all modules.
_PATTERNS = {
    "rank_pattern": "its modules have ranks of their own",
    "alpha_pattern": "its modules have scales of their own",
}
_MORE_THAN_LORA = {
    "use_dora": "it is a DoRA",
    "modules_to_save": "it has whole modules that were trained",
    "bias": "it has biases that were trained",
    "lora_bias": "its factors have biases",
    "layer_replication": "it repeats layers",
}
_ENGINES = (
    _Engine(
        "vLLM", _PROJECTIONS | _FUSED, _MORE_THAN_LORA | _PATTERNS, _vllm_problem, _vllm_command,
    ),
    _Engine(
        "SGLang", _PROJECTIONS | _FUSED,
        _MORE_THAN_LORA | _PATTERNS | {"use_rslora": "its scale is that of rsLoRA, which SGLang computes otherwise"},
        lambda facts: "", _sglang_command,
    ),
    _Engine(
        "TGI", _PROJECTIONS,
        _MORE_THAN_LORA | _PATTERNS | {"layers_to_transform": "TGI ignores that some layers are unchanged"},
        _tgi_problem, _tgi_command,
    ),
)  # fmt: skip
