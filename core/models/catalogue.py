"""The models a run can start from: the embedded one, Llama 2 on the Hub, local folders, and any Hub id."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
    """A model: its name in the settings of a run, and the arguments of `from_pretrained`.

    Attributes:
        name: Name in the settings of a run.
        label: Name for the user, with where the model is.
        path: Folder, or id on the Hub; empty for the embedded one until `find` has converted it.
        local: Whether it is on this machine and needs no download.
        revision: Branch, tag or commit of a Hub model; None is main.
        trials: Folder that keeps the results of `core.models.trial`; empty to keep them in this process only.
    """

    name: str
    label: str
    path: str
    local: bool
    revision: str | None = None
    trials: str = field(default="", compare=False)


def available(settings: Settings) -> list[Model]:
    """Return every model that can be offered by name: embedded first, then local folders, then Llama 2 on the Hub.

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


def find(
    settings: Settings, name: str, revision: str = "", report: Callable[[str], None] = lambda stage: None
) -> Model:
    """Return a model by its name, ready to be loaded; the embedded one is converted first if it has not been.

    Args:
        settings: The studio's settings.
        name: As for `locate`.
        revision: As for `locate`.
        report: Called with a sentence at the beginning of each stage of that conversion.

    Raises:
        StudioError: As for `locate`, or the embedded model cannot be downloaded.
    """
    model = locate(settings, name, revision)
    return replace(model, path=str(embedded.prepare(settings, report))) if model.name == embedded.NAME else model


def locate(settings: Settings, name: str, revision: str = "") -> Model:
    """Return a model by its name at once; the embedded one may not be converted yet, which takes half a minute.

    Args:
        settings: The studio's settings.
        name: Name of the embedded model, of a folder of local models, or id of a Hub model.
        revision: Branch, tag or commit of a Hub model; empty for the main branch.

    Raises:
        StudioError: There is no local model of that name and it is no Hub id, or a local model is given a revision.
    """
    name = name.strip()
    if revision and not client.is_hub_id(name):
        raise StudioError(f"The model {name!r} is on this machine and has no revision {revision!r}. Leave it empty.")
    if name == embedded.NAME:
        return Model(name, name, str(embedded.folder(settings)), local=True)
    if client.is_hub_id(name):
        return Model(name, name, name, local=False, revision=revision or None, trials=str(settings.trials_dir))
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
    return Model(name, name, str(path), local=True, trials=str(settings.trials_dir))


def check_access(model: Model) -> None:
    """Ask the Hub for a model's config.json, unless there is a copy, to learn whether the model can be downloaded.

    Raises:
        StudioError: There is no such model, no access to it, or neither a network nor a copy.
    """
    if not model.local:
        with client.explained("model", model.name):
            from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

            if not isinstance(try_to_load_from_cache(model.path, "config.json", revision=model.revision), str):
                get_hf_file_metadata(hf_hub_url(model.path, "config.json", revision=model.revision))
