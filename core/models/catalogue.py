"""The models a run can start from: the embedded one, Llama 2 on the Hub, local folders, and any Hub id."""

from dataclasses import dataclass

from core.access import roles
from core.errors import StudioError
from core.hub import client
from core.models import embedded
from core.settings import Settings, inside, is_plain_name

LLAMA_2 = {
    "meta-llama/Llama-2-7b-hf": "Llama 2 7B",
    "meta-llama/Llama-2-13b-hf": "Llama 2 13B",
    "meta-llama/Llama-2-7b-chat-hf": "Llama 2 7B chat",
    "meta-llama/Llama-2-13b-chat-hf": "Llama 2 13B chat",
}


@dataclass(frozen=True)
class Model:
    """A model by the name that a config holds, and what `from_pretrained` is given for it.

    Attributes:
        revision: branch, tag or commit of a Hub model; None is main.
    """

    name: str
    label: str
    path: str
    local: bool
    revision: str | None = None


def available(settings: Settings) -> list[Model]:
    """List every model that can be offered by name: embedded first, then local folders, then Llama 2 on the Hub.

    A link in the folder of models is followed: only the owner of the machine can make one there.

    A visitor is offered the embedded one; others only as the bases of runs that are published.
    """
    models = [Model(embedded.NAME, f"{embedded.NAME} (embedded)", "", local=True)]
    if not roles.caller().is_owner:
        return models
    for config in sorted(settings.models_dir.glob("*/config.json")):
        name = config.parent.name
        if name != embedded.NAME and is_plain_name(name):
            models.append(Model(name, f"{name} (local)", str(config.parent), local=True))
    models += [Model(name, f"{label} (Hub, gated)", name, local=False) for name, label in LLAMA_2.items()]
    return models


def find(settings: Settings, name: str, revision: str = "") -> Model:
    """The model called `name`, the embedded one converted first if need be.

    Raises StudioError when there is no such local model and `name` is no Hub id, or when a local one is given a
    revision.
    """
    name = name.strip()
    if revision and not client.is_hub_id(name):
        raise StudioError(f"The model {name!r} is on this machine and has no revision {revision!r}. Leave it empty.")
    if name == embedded.NAME:
        return Model(name, name, str(embedded.prepare(settings)), local=True)
    if client.is_hub_id(name):
        return Model(name, name, name, local=False, revision=revision or None)
    expected = (
        f"Expected {embedded.NAME}, a folder of {settings.models_dir}, or a Hub id such as meta-llama/Llama-2-7b-hf."
    )
    if not name or "/" in name or not (path := inside(settings.models_dir, name, "model name", links=True)).is_dir():
        raise StudioError(f"There is no model {name!r}. {expected}")
    if not (path / "config.json").is_file() and (path / "adapter_config.json").is_file():
        raise StudioError(
            f"The model folder {name!r} is an adapter, not a base model. Choose its base model. {expected}"
        )
    if not (path / "config.json").is_file():
        raise StudioError(f"The model folder {name!r} has no config.json. Put a transformers model there. {expected}")
    return Model(name, name, str(path), local=True)


def check_access(model: Model) -> None:
    """Ask for a Hub model's config.json, unless there is a copy, to learn now whether the rest can be had.

    Raises StudioError when there is no such model, no access, or no network and no copy.
    """
    if not model.local:
        with client.explained("model", model.name):
            from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

            if not isinstance(try_to_load_from_cache(model.path, "config.json", revision=model.revision), str):
                get_hf_file_metadata(hf_hub_url(model.path, "config.json", revision=model.revision))
