"""Names of licenses on the Hugging Face Hub.

A card's front matter is refused if its license is none of the Hub's names; any other license is "other", with its name
and the address of its text.
"""

import re

# https://huggingface.co/docs/hub/repositories-licenses, as of 2026-11.
NAMES = frozenset([
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1",
    "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research",
    "intel-research", "lppl-1.3c", "ms-pl", "apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl", "openmdw-1.0",
    "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr",
    "deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3", "llama3.1", "llama3.2",
    "llama3.3", "llama4", "gemma", "unknown", "other",
])  # fmt: skip
_MAX_NAME = 60


def license_fields(license: str | None, name: str = "", link: str = "") -> dict[str, str]:
    """Return the fields of a card's front matter for a license; none if there is no license.

    Args:
        license: The license as its source states it, such as "MIT".
        name: Its name, if the license is "other".
        link: Address or file name of its text, if the license is "other".
    """
    known = (license or "").strip().lower()
    if not known:
        return {}
    if known in NAMES - {"other"}:
        return {"license": known}
    called = re.sub(r"[^a-z0-9.]+", "-", (name if known == "other" else known).lower()).strip("-.")[:_MAX_NAME]
    fields = {"license": "other", "license_name": called} if called else {"license": "other"}
    return fields | ({"license_link": link} if link else {})
