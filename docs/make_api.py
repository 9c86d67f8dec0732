"""Write docs/api.md from the app: every named call with its parameters, defaults and results.

Run as `python docs/make_api.py`; a test fails if the page is not what this script writes.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

HEAD = """# The studio as a service

A program can call the main actions of the page over Gradio's API: `POST /gradio_api/call/NAME`, or with
`gradio_client` (`docs/example_client.py` creates a subset, trains and chats). `python docs/make_api.py` writes this
page from the app, and a test fails if it is out of date.

Calls marked *Who: visitor* are open to visitors of a public Space; all others are for the owner only. An error is
returned as a sentence. `GET /healthz` answers `ok` while the server runs.
"""


_MAX_ENUM_VALUES = 12
_MAX_DEFAULT_CHARACTERS = 40


def describe_type(about: dict[str, Any]) -> str:
    """Describe the type of a JSON schema in a few words."""
    kind = about.get("type")
    if about.get("enum"):
        values = [f"`{value}`" for value in about["enum"][:_MAX_ENUM_VALUES]]
        return "one of " + ", ".join(values) + (", …" if len(about["enum"]) > _MAX_ENUM_VALUES else "")
    if "anyOf" in about:
        return " or ".join(describe_type(one) for one in about["anyOf"])
    if kind == "array":
        return "list of " + describe_type(about.get("items") or {})
    return str(kind or about.get("title") or ("string" if "enum" in about else "anything"))


def describe_default(parameter: dict[str, Any]) -> str:
    """Return a parameter's default as a table cell, or "required"."""
    if not parameter.get("parameter_has_default"):
        return "required"
    value = parameter.get("parameter_default")
    if isinstance(value, str) and len(value) >= _MAX_DEFAULT_CHARACTERS:
        value = f"{value[: _MAX_DEFAULT_CHARACTERS - 3]}…"
    text = repr(value)
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")


def page() -> str:
    """Return the whole page."""
    from core.settings import Settings
    from studio.app import build

    with tempfile.TemporaryDirectory() as home:
        demo = build(Settings(home=Path(home)).prepare())
        info = demo.get_api_info()
        named = {f"/{f.api_name}": f for f in demo.fns.values() if f.api_name}
        demo.jobs.close()
        parts = [HEAD]
        for name, about in info["named_endpoints"].items():
            function = named[name]
            # Defaults may hold the temporary home, which differs each time.
            parts.append(_call_section(name, about, function).replace(home, "STUDIO_HOME"))
    return "\n".join(parts)


def _call_section(name: str, about: dict[str, Any], function: Any) -> str:
    # The first paragraph of the handler's docstring is the description.
    description = (function.fn.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
    who = "visitor" if function.fn.for_visitors else "owner"
    lines = [f"## {name}", "", f"{' '.join(description.split())} *Who: {who}.*".strip(), ""]
    if about["parameters"]:
        lines += ["| parameter | type | default | label |", "|---|---|---|---|"]
        lines += [
            f"| `{p['parameter_name']}` | {describe_type(p['type'])} | {describe_default(p)} | {_label(p)} |"
            for p in about["parameters"]
        ]
        lines.append("")
    results = ", ".join(f"{_label(r) or 'result'} ({describe_type(r['type'])})" for r in about["returns"]) or "nothing"
    return "\n".join([*lines, f"Returns: {results}.", ""])


def _label(value: dict[str, Any]) -> str:
    """Return the label of a parameter or result for a table cell.

    Gradio calls a component without a label `value_NUMBER`, and counts the values of a call without components.
    """
    if re.fullmatch(r"\d+(st|nd|rd|th)", str(value["label"])):
        return ""
    return re.sub(r"^value_\d+$", "shown on the page", str(value["label"])).replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    (PROJECT / "docs" / "api.md").write_text(page(), encoding="utf-8")
    # The app's background threads would keep the process alive.
    os._exit(0)
