"""Initial values of a run's adapter from another adapter, which is trained further."""

from pathlib import Path

from peft import PeftModel
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from core.errors import StudioError

_PREFIX = "base_model.model."


def load_values(model: PeftModel, folder: Path, name: str) -> str:
    """Copy the values of an adapter into a model's new one, and return a note about it.

    Args:
        model: The model with the run's own adapter.
        folder: The adapter to begin with.
        name: Its name, for messages.

    Raises:
        StudioError: It is damaged, or has other modules or sizes than the run's adapter.
    """
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
    except (SafetensorError, OSError) as error:
        raise StudioError(
            f"The adapter {name!r} cannot be read ({error}). Choose another one to begin with."
        ) from error
    own = {key: value.shape for key, value in get_peft_model_state_dict(model).items()}
    theirs = {key: value.shape for key, value in tensors.items()}
    if differing := sorted(key for key in own.keys() | theirs.keys() if own.get(key) != theirs.get(key)):
        first = differing[0].removeprefix(_PREFIX)
        raise StudioError(
            f"The adapter {name!r} has other modules than this run: {first} is "
            f"{_describe(theirs, differing[0])} there and {_describe(own, differing[0])} here. Set Target modules and "
            "Modules to train whole to those of its adapter_config.json."
        )
    set_peft_model_state_dict(model, tensors)
    return f"Training began with the values of the adapter {name}."


def _describe(shapes: dict, key: str) -> str:
    return " × ".join(map(str, shapes[key])) if key in shapes else "absent"
