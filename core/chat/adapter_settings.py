"""Types and bounds of the settings in a foreign adapter's adapter_config.json, which PEFT uses unchecked.

PEFT's configuration is a dataclass, whose annotations nothing holds: a text as a scale fails somewhere in the middle, a
list of a million names is compared with each module for minutes, and a scale of 1e308 makes every answer NaN.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.errors import StudioError, sentences

_MAX_BYTES = 2**22
_MAX_LAYERS, _MAX_NAMES, _MAX_TOKENS = 1_000, 20_000, 100_000
_MAX_NUMBER = 1e6
# Objects of PEFT's variants hold sizes that nothing else bounds.
_MAX_SIZE = 4_096


def _check_numbers(value: Any) -> Any:
    """Return an object of numbers, texts and objects whose numbers are sizes.

    Raises:
        ValueError: One is too large, or no number.
    """
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict | list):
            pending += each.values() if isinstance(each, dict) else each
        elif isinstance(each, int | float) and not abs(each) <= _MAX_SIZE:
            raise ValueError(f"must hold numbers of at most {_MAX_SIZE:,}")
    return value


_Number = Annotated[float, Field(ge=-_MAX_NUMBER, le=_MAX_NUMBER, allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=2_000)]
# Without fail_fast, pydantic makes an error of each wrong entry, which takes seconds.
_Texts = Annotated[list[_Text], Field(max_length=_MAX_NAMES, fail_fast=True)]
_ModuleName = Annotated[str, Field(pattern=r"^[\w.]+$", max_length=500)]
_ModuleNames = Annotated[list[_ModuleName], Field(max_length=_MAX_NAMES, fail_fast=True)]
_Layer = Annotated[int, Field(ge=0, le=_MAX_LAYERS)]
_Layers = Annotated[list[_Layer], Field(max_length=_MAX_LAYERS, fail_fast=True)]
_Token = Annotated[int, Field(ge=0, lt=2**31)]
_Tokens = Annotated[list[_Token], Field(max_length=_MAX_TOKENS, fail_fast=True)]
_Range = Annotated[list[_Layer], Field(min_length=2, max_length=2)]
_Variant = Annotated[dict[str, Any] | None, BeforeValidator(_check_numbers)]


class _Settings(BaseModel):
    """The settings that change a result, with the types that PEFT's annotations say."""

    model_config = ConfigDict(strict=True, extra="ignore")

    # Ranks are compared with the tensors (`core.chat.adapter_patterns.check_ranks`).
    r: int = 8
    lora_alpha: _Number = 8
    rank_pattern: Annotated[dict[_Text, int], Field(max_length=_MAX_NAMES)] | None = None
    alpha_pattern: Annotated[dict[_Text, _Number], Field(max_length=_MAX_NAMES)] | None = None
    target_modules: str | _Texts | None = None
    exclude_modules: str | _Texts | None = None
    modules_to_save: _ModuleNames | None = None
    target_parameters: _Texts | None = None
    layers_to_transform: _Layer | _Layers | None = None
    layers_pattern: _ModuleName | _ModuleNames | None = None
    layer_replication: Annotated[list[_Range], Field(max_length=_MAX_LAYERS, fail_fast=True)] | None = None
    trainable_token_indices: _Tokens | dict[_Text, _Tokens] | None = None
    alora_invocation_tokens: _Tokens | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    init_lora_weights: bool | Annotated[str, Field(max_length=100)] = True
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False
    ensure_weight_tying: bool | None = None
    use_qalora: bool = False
    qalora_group_size: Annotated[int, Field(ge=1, le=2**16)] = 16
    arrow_config: _Variant = None
    kasa_config: _Variant = None
    lora_ga_config: _Variant = None
    monteclora_config: _Variant = None
    use_bdlora: _Variant = None
    velora_config: _Variant = None


def read_settings(path: Path, adapter: str) -> dict[str, Any]:
    """Return the content of an adapter_config.json, whose settings have the types and sizes that they should have.

    Args:
        path: The file.
        adapter: Name of the adapter, for messages.

    Raises:
        StudioError: It is too large, no JSON object, or one setting is of another type or too large, or names code to
            import.
    """
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise StudioError(f"The adapter {adapter!r} has {size:,} bytes of settings. At most {_MAX_BYTES:,} are read.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StudioError(
            f"The settings of the adapter {adapter!r} cannot be read ({type(error).__name__}). Expected JSON in "
            f"{path.name}; download it again."
        ) from error
    if not isinstance(found, dict):
        raise StudioError(f"The adapter {adapter!r} has {type(found).__name__} as {path.name}. Expected an object.")
    # Others are not read, or describe the adapter's history; they are copied and shown.
    if any(_is_deep(value) for value in found.values()):
        raise StudioError(f"The adapter {adapter!r} has a setting that is nested deeply. Save it again.")
    kind = found.get("peft_type")
    if kind != "LORA":
        raise StudioError(f"The adapter {adapter!r} is {str(kind)[:80]}. Chat answers with LoRA and its variants.")
    _check(found, adapter)
    return found


def _check(found: dict[str, Any], adapter: str) -> None:
    for name in ("megatron_config", "megatron_core"):
        # PEFT imports the module that the second one names.
        if found.get(name) and not (name == "megatron_core" and not found.get("megatron_config")):
            raise StudioError(
                f"The adapter {adapter!r} has {name}, which names code to import. No foreign code is run."
            )
    for name in _Settings.model_fields.keys() & found.keys():
        # Pydantic looks at all entries of an object before it counts them.
        if isinstance(found[name], dict) and len(found[name]) > _MAX_NAMES:
            raise StudioError(
                f"The adapter {adapter!r} has {name} of a kind that cannot be used. It has {len(found[name]):,} "
                f"entries, and at most {_MAX_NAMES:,} are read. Save it again with PEFT."
            )
    try:
        settings = _Settings.model_validate(found)
    except ValidationError as error:
        first = sentences(error).split("\n")[0]
        name = error.errors()[0]["loc"][0]
        raise StudioError(
            f"The adapter {adapter!r} has {name} of a kind that cannot be used. {first[:300]} Save it again with PEFT."
        ) from error
    if sum(max(0, end - start) for start, end in settings.layer_replication or []) > _MAX_LAYERS:
        raise StudioError(
            f"The adapter {adapter!r} repeats more than {_MAX_LAYERS:,} layers (layer_replication). Choose another one."
        )


def _is_deep(value: Any, levels: int = 20) -> bool:
    """Return whether a value has lists or objects in more levels than these."""
    if not isinstance(value, dict | list):
        return False
    return not levels or any(
        _is_deep(each, levels - 1) for each in (value.values() if isinstance(value, dict) else value)
    )
