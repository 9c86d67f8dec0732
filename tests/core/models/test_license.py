"""License of a base model: where it is read, what is recognized, and what is not read."""

import json

import pytest

from core.errors import StudioError
from core.hub.licenses import license_fields
from core.models import embedded
from core.models.license import TERMS, BaseLicense, read_license

FRONT = "---\nlicense: {}\n---\n# A model\n"


def write(settings, **files):
    folder = settings.models_dir / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for name, text in files.items():
        (folder / name.replace("_md", ".md").replace("_json", ".json")).write_text(text)


@pytest.mark.parametrize(("files", "expected", "source"), [
    ({"README_md": FRONT.format("MIT")}, "mit", "README"),
    ({"README_md": FRONT.format("other\nlicense_name: Mine")}, "other", "README"),
    ({"README_md": FRONT.format("mit"), "LICENSE": "Apache License\nVersion 2.0"}, "mit", "README"),
    ({"config_json": json.dumps({"license": "Apache-2.0"})}, "apache-2.0", "config.json"),
    ({"LICENSE": "   Apache License\n   Version 2.0, January 2004"}, "apache-2.0", "LICENSE"),
    ({"LICENSE": "LLAMA 2 COMMUNITY LICENSE AGREEMENT\nLlama 2 Version"}, "llama2", "LICENSE"),
    ({"LICENSE": "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT"}, "llama3.1", "LICENSE"),
    ({"LICENSE": "LLAMA 4 COMMUNITY LICENSE AGREEMENT\nLlama 4 Version"}, "llama4", "LICENSE"),
    ({"README_md": "no front matter\n---\nlicense: mit\n---\n"}, "", ""),
    ({"README_md": FRONT.format("[a, b]")}, "", ""),
    ({"README_md": FRONT.format("&a mit\nb: *a")}, "", ""),
    ({"README_md": "---\nlicense: mit\nlicense: gpl\n---\n"}, "", ""),
    ({"LICENSE": "Mine alone."}, "", ""),
    ({"README_md": FRONT.format("mit") + "x" * 2**20}, "", ""),
    ({}, "", ""),
])  # fmt: skip
def test_license_is_read_from_the_files_of_a_model(settings, files, expected, source):
    write(settings, **files)
    found = read_license(settings, "base")
    assert found.id == expected
    assert source in found.source


def test_embedded_model_and_llama_2_are_known_without_files(settings):
    assert read_license(settings, embedded.NAME).id == "apache-2.0"
    assert read_license(settings, "meta-llama/Llama-2-13b-hf").id == "llama2"
    assert read_license(settings, "a model that is gone").id == ""


def test_link_to_another_scheme_is_dropped(settings):
    write(settings, README_md=FRONT.format("other\nlicense_name: x\nlicense_link: javascript:alert(1)"))
    assert read_license(settings, "base").link == ""


# From sections 1.b.i, 1.b.iii and 1.b.v of each agreement: words, beginning of the name, notice, and the only family
# that may be improved.
DUTIES = {
    "llama2": ("", "", "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c)", "Llama 2"),
    "llama3": (
        "Built with Meta Llama 3", "Llama 3",
        "Meta Llama 3 is licensed under the Meta Llama 3 Community License, Copyright ©", "Meta Llama 3",
    ),
    **{
        f"llama{version}": (
            "Built with Llama", "Llama",
            f"Llama {version} is licensed under the Llama {version} Community License, Copyright ©", "",
        )
        for version in ("3.1", "3.2", "3.3", "4")
    },
}  # fmt: skip


@pytest.mark.parametrize("known", TERMS)
def test_terms_are_those_of_the_agreement(known):
    terms, (words, prefix, notice, family) = TERMS[known], DUTIES[known]
    assert (terms.built_with, terms.prefix) == (words, prefix)
    assert terms.notice == f"{notice} Meta Platforms, Inc. All Rights Reserved."
    assert (f"except {family} and models made from it" in terms.rule) == bool(family)
    assert ("improve another large language model" in terms.rule) == bool(family)
    assert license_fields(known) == {"license": known}


# The name begins with "Llama 3" for Llama 3, and with "Llama" for the later ones; other licenses have no such rule.
@pytest.mark.parametrize(("license", "allowed", "refused"), [
    ("llama2", ["mine", "Llama-2-mine", "alpaca"], []),
    ("apache-2.0", ["mine"], []),
    ("", ["mine"], []),
    ("llama3", ["Llama-3-mine", "Llama3-mine", "llama_3_mine", "Llama 3 mine", "Llama-3.1-mine"],
     ["mine", "Llama-mine", "Meta-Llama-3-mine", "my-Llama-3", "Llama-2-mine", "Llama-30B"]),
    *[(f"llama{version}", ["Llama-mine", "llama-mine", "Llama-3-mine"], ["mine", "my-llama", "Meta-Llama-3.1", "Lama"])
      for version in ("3.1", "3.2", "3.3", "4")],
])  # fmt: skip
def test_name_begins_as_the_license_demands(license, allowed, refused):
    # Some models of Meta state "other" with the license's name.
    for found in [BaseLicense(license), BaseLicense("other", license)]:
        for name in allowed:
            found.check_name(name)
            assert found.model_name(name) == name
        for name in refused:
            with pytest.raises(StudioError, match="Push to a repository such as Llama"):
                found.check_name(name)
            found.check_name(found.model_name(name).replace(" ", "-"))


@pytest.mark.parametrize(("stated", "fields"), [
    (None, {}), ("", {}), (" MIT ", {"license": "mit"}), ("llama2", {"license": "llama2"}),
    ("My Own License!", {"license": "other", "license_name": "my-own-license"}),
    ("<b>", {"license": "other", "license_name": "b"}), ("…", {"license": "other"}),
])  # fmt: skip
def test_license_fields_are_names_of_the_hub(stated, fields):
    assert license_fields(stated) == fields


def test_other_license_keeps_its_name_and_link():
    assert license_fields("other", "Some Name", "https://x") == {
        "license": "other", "license_name": "some-name", "license_link": "https://x",
    }  # fmt: skip
