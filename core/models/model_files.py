"""Checks of a model's files before transformers reads them: they may name other files and repositories to load."""

import copy
from pathlib import Path
from typing import Any

from core.errors import StudioError
from core.models.catalogue import Model
from core.system.files import read_json

_ADAPTER, _INDEX, _WEIGHTS = "adapter_config.json", "model.safetensors.index.json", "model.safetensors"
# Field of a config by which transformers reads other weights.
_NAMED = "transformers_weights"
# Weights cannot take less than one bit each.
_MOST_PARAMETERS_PER_BYTE = 8


def check_files(model: Model, config: Any) -> None:
    """Check that a base model is one by itself, whose weights are in its own safetensors files.

    transformers merges an adapter beside a model into it, or takes the base that the adapter names in its place. By a
    field of the config it reads another file of weights, a pickle or an index that was not checked.

    Args:
        model: The model.
        config: Its `PretrainedConfig`.

    Raises:
        StudioError: The model has an adapter, or names weights elsewhere or of another kind.
    """
    from transformers.utils import cached_file

    if cached_file(model.path, _ADAPTER, revision=model.revision, _raise_exceptions_for_missing_entries=False):
        raise StudioError(
            f"The model {model.name!r} has an adapter among its files ({_ADAPTER}), which would change it. Choose the "
            "base model itself."
        )
    named = getattr(config, _NAMED, None)
    if named not in (None, _WEIGHTS, _INDEX):
        raise StudioError(
            f"The config.json of the model {model.name!r} names {str(named)[:100]!r} for its weights ({_NAMED}). "
            f"Expected them in {_WEIGHTS} or in the files of {_INDEX}: remove the field, or choose another model."
        )
    # The files of the Hub's repositories are downloaded by their names there.
    index = Path(model.path) / _INDEX
    if not model.local or not index.is_file():
        return
    for name in read_json(index)["weight_map"].values():
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise StudioError(
                f"The model {model.name!r} names the file {name!r} for its weights. Expected the name of a .safetensors"
                " file in its own folder."
            )


def check_weights(model: Model, config: Any, architecture: Any) -> None:
    """Check that a model's files are large enough for the parameters that its config describes.

    transformers fills in weights that are missing, so that a small folder could take all memory of the machine.

    Args:
        model: The model.
        config: Its `PretrainedConfig`.
        architecture: transformers' auto class that is loaded.

    Raises:
        StudioError: The files are too small.
    """
    import torch
    from transformers.utils import cached_file
    from transformers.utils.hub import cached_files

    options = {"revision": model.revision, "_raise_exceptions_for_missing_entries": False}
    index = cached_file(model.path, _INDEX, **options)
    names = sorted(set(read_json(Path(index))["weight_map"].values())) if index else [_WEIGHTS]
    there = sum(Path(path).stat().st_size for path in cached_files(model.path, names, **options) or ())
    # A model without weights has parameters on no device, which take no memory.
    with torch.device("meta"):
        built = architecture.from_config(copy.deepcopy(config), trust_remote_code=False)
    described = sum(parameter.numel() for parameter in built.parameters())
    if there and described > _MOST_PARAMETERS_PER_BYTE * there:
        raise StudioError(
            f"The model {model.name!r} could not be loaded: config.json describes {described:,} parameters, and the "
            f"weights have {there:,} bytes. Download it again, or choose another model."
        )


def check_attention(model: Model, config: Any) -> None:
    """Check that a model's config names no attention that transformers would fetch as code from a repository.

    Args:
        model: The model.
        config: Its `PretrainedConfig`.

    Raises:
        StudioError: The config names such an attention.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    parts = [config, *(getattr(config, name, None) for name in config.sub_configs)]
    for name in {getattr(part, "_attn_implementation", None) for part in parts}:
        if name not in (None, "eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()):
            raise StudioError(
                f"The config.json of the model {model.name!r} names the attention {name!r}, which may be code of a "
                "repository. No foreign code is run: remove attn_implementation from it, or choose another model."
            )
