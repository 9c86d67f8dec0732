"""License of a base model, read from its own files, and the terms of Meta's licenses for models made from theirs.

A model states its license in the front matter of its README, as the Hub's models do, or in its config.json; otherwise
the text of its license file is recognized. Nothing is downloaded here: of a Hub model the files in the cache are read,
which `core.models.download` brings there beside the weights.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import StudioError
from core.models import catalogue, embedded
from core.models.catalogue import Model
from core.settings import Settings
from core.system.files import read_json
from core.system.strict_yaml import YAML_ERRORS, parse_yaml

README = "README.md"
# Files with terms, which are passed on with a model made from this one.
TERMS_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt", "Notice", "USE_POLICY.md")
# More is neither a license nor the head of a README.
_MAX_BYTES = 2**20
_HEAD_CHARACTERS = 2_000
# First words of license texts, the more specific first.
_BEGINNINGS = {
    "LLAMA 2 COMMUNITY LICENSE AGREEMENT": "llama2",
    "META LLAMA 3 COMMUNITY LICENSE AGREEMENT": "llama3",
    "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT": "llama3.1",
    "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT": "llama3.2",
    "LLAMA 3.3 COMMUNITY LICENSE AGREEMENT": "llama3.3",
    "LLAMA 4 COMMUNITY LICENSE AGREEMENT": "llama4",
    "GNU AFFERO GENERAL PUBLIC LICENSE": "agpl-3.0",
    "APACHE LICENSE VERSION 2.0": "apache-2.0",
    "MIT LICENSE": "mit",
}


@dataclass(frozen=True)
class Terms:
    """Duties of a license towards a model that is made from the licensed one.

    Attributes:
        title: Name of the license.
        link: Address of its text.
        notice: Text that a file NOTICE must hold.
        built_with: Words that must be displayed; "" for none.
        prefix: Words with which the name of the model must begin; "" for none.
        rule: Sentence about what else binds the receiver.
    """

    title: str
    link: str
    notice: str
    built_with: str = ""
    prefix: str = ""
    rule: str = ""


_POLICY = "Meta's acceptable use policy is a part of the license"


def _no_other_models(family: str) -> str:
    """Return the rule of a license that forbids to improve models of other families."""
    return (
        f"{_POLICY}, and neither the model nor its output may be used to improve another large language model, except "
        f"{family} and models made from it."
    )


def _llama(version: str, link: str, built_with: str = "Built with Llama", prefix: str = "Llama") -> Terms:
    meta = "Meta " * (version == "3")
    title = f"{meta}Llama {version} Community License"
    notice = (
        f"{meta}Llama {version} is licensed under the {title}, Copyright © Meta Platforms, Inc. All Rights Reserved."
    )
    # The later ones allow to improve other models, which then follow the rule for names.
    rule = _no_other_models("Meta Llama 3") if version == "3" else f"{_POLICY}."
    return Terms(title, link, notice, built_with, prefix, rule)


_LLAMA_LINK = "https://www.llama.com/llama{}/license/"
TERMS: dict[str, Terms] = {
    # Section 1.b: a copy of the agreement and this notice; no words to display, and no rule for names.
    "llama2": Terms(
        "LLAMA 2 Community License", "https://ai.meta.com/llama/license/",
        "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms, Inc. All Rights "
        "Reserved.",
        rule=_no_other_models("Llama 2"),
    ),
    # Section 1.b.i of each: the words and the beginning of the name; 1.b.v of Llama 3: no other models.
    "llama3": _llama("3", _LLAMA_LINK.format("3"), "Built with Meta Llama 3", "Llama 3"),
    "llama3.1": _llama("3.1", _LLAMA_LINK.format("3_1")),
    "llama3.2": _llama("3.2", _LLAMA_LINK.format("3_2")),
    "llama3.3": _llama("3.3", _LLAMA_LINK.format("3_3")),
    "llama4": _llama("4", _LLAMA_LINK.format("4")),
}  # fmt: skip


@dataclass(frozen=True)
class BaseLicense:
    """License of a base model.

    Attributes:
        id: Its name on the Hub, or as the model states it; "" if it is not known.
        name: Its own name, if the id is "other".
        link: Address of its text, if the model states one.
        source: Where it was read, as a part of a sentence.
        files: Files with terms that the model comes with, by name.
    """

    id: str = ""
    name: str = ""
    link: str = ""
    source: str = ""
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def terms(self) -> Terms | None:
        """Return the duties that are known of this license; some models of Meta state it as "other" with its name."""
        return TERMS.get(self.name.strip().lower() if self.id == "other" else self.id)

    def model_name(self, name: str) -> str:
        """Return the name of a model made from this one, with the beginning that the license demands."""
        prefix = self.terms.prefix if self.terms else ""
        return name if begins_with(name, prefix) else f"{prefix} {name}"

    def check_name(self, name: str) -> None:
        """Check that a model made from this one may be passed on under a name.

        Args:
            name: The name, without that of its owner.

        Raises:
            StudioError: The license demands another beginning.
        """
        terms = self.terms
        if terms and not begins_with(name, terms.prefix):
            raise StudioError(
                f"The name {name!r} does not begin with {terms.prefix!r}, as the {terms.title} demands of a model made "
                f"from its models. Push to a repository such as {terms.prefix.replace(' ', '-')}-{name}."
            )


def begins_with(name: str, prefix: str) -> bool:
    """Return whether the name of a model begins with the words that a license demands.

    Names of repositories have no spaces, so a hyphen, an underscore, a dot or nothing stands for one. A number must end
    where that of the license does: "Llama 30" does not begin with "Llama 3".
    """
    words = r"[ ._-]?".join(map(re.escape, prefix.split()))
    end = r"(?!\d)" if prefix[-1:].isdigit() else ""
    return re.match(words + end, name, re.IGNORECASE) is not None


def read_license(settings: Settings, name: str, revision: str = "") -> BaseLicense:
    """Return the license of a base model; one without an id if its files state none, or are gone.

    Args:
        settings: The studio's settings.
        name: The model, as in a run's settings.
        revision: Branch, tag or commit of a Hub model.
    """
    if name.strip() == embedded.NAME:
        return BaseLicense("apache-2.0", source=f"the package {embedded.REQUIREMENT}")
    try:
        model = catalogue.locate(settings, name, revision)
    except StudioError:
        # The folder of the model was removed after the run; nothing states its license any more.
        return BaseLicense()
    files = {file: path for file in TERMS_FILES if (path := _find(model, file))}
    readme = _find(model, README)
    stated = (readme and license_of_readme(readme)) or _of_config(model) or _of_text(files)
    if not stated and model.name in catalogue.LLAMA_2:
        stated = BaseLicense("llama2", source="the list of models of the studio")
    found = stated or BaseLicense()
    return BaseLicense(found.id, found.name, found.link, found.source, files)


def _find(model: Model, file: str) -> Path | None:
    """Return a file of a model that is on this machine and not too large; None otherwise."""
    if model.local:
        path: Path | str | object = Path(model.path) / file
    else:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(model.path, file, revision=model.revision)
    if not isinstance(path, (str, Path)) or not Path(path).is_file():
        return None
    return Path(path) if Path(path).stat().st_size <= _MAX_BYTES else None


def license_of_readme(path: Path) -> BaseLicense | None:
    """Return the license in the front matter of a model's README; None if it has none."""
    parts = path.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        front = parse_yaml(parts[1])
    except (*YAML_ERRORS, StudioError):
        # Front matter that the Hub would refuse states nothing.
        return None
    values = front if isinstance(front, dict) else {}
    texts = {key: value.strip() for key, value in values.items() if isinstance(value, str)}
    if not texts.get("license"):
        return None
    link = texts.get("license_link", "")
    return BaseLicense(
        texts["license"].lower(), texts.get("license_name", ""), link if link.startswith("https://") else "",
        "the README of the base model",
    )  # fmt: skip


def _of_config(model: Model) -> BaseLicense | None:
    """Return the license that a model's config.json names."""
    path = _find(model, "config.json")
    stated = read_json(path).get("license") if path else None
    if not isinstance(stated, str) or not stated.strip():
        return None
    return BaseLicense(stated.strip().lower(), source="the config.json of the base model")


def _of_text(files: dict[str, Path]) -> BaseLicense | None:
    """Return the license whose text is in a file of a model."""
    for file, path in files.items():
        head = " ".join(path.read_text(encoding="utf-8", errors="replace")[:_HEAD_CHARACTERS].split()).upper()
        for words, known in _BEGINNINGS.items():
            if words in head:
                return BaseLicense(known, source=f"the file {file} of the base model")
    return None
