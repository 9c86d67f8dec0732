"""Write docs/api.md: every named call of the app, from the app itself.  python docs/make_api.py"""

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

Every action of the page can be called by a program, over Gradio's API: `POST /gradio_api/call/NAME`, or with
`gradio_client` (`docs/example_client.py` goes through the whole loop). Names, types and defaults below are read from
the app (`python docs/make_api.py`); a test holds this page to them.

**Who** is *visitor* where a visitor of a public Space may call it, too; all others are the owner's. An error comes back
as a sentence. `GET /healthz` answers `ok` while the server is up.
"""


def type_words(about: dict[str, Any]) -> str:
    """A JSON schema's type in a few words."""
    kind = about.get("type")
    if about.get("enum"):
        return "one of " + ", ".join(f"`{value}`" for value in about["enum"][:12]) + (", …" * (len(about["enum"]) > 12))
    if "anyOf" in about:
        return " or ".join(type_words(one) for one in about["anyOf"])
    if kind == "array":
        return "list of " + type_words(about.get("items") or {})
    return str(kind or about.get("title") or ("string" if "enum" in about else "anything"))


def default_words(parameter: dict[str, Any]) -> str:
    if not parameter.get("parameter_has_default"):
        return "required"
    value = parameter.get("parameter_default")
    text = repr(value) if not isinstance(value, str) or len(value) < 40 else repr(f"{value[:37]}…")
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")


def page() -> str:
    """The whole text."""
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
            parts.append(_call(name, about, function).replace(home, "STUDIO_HOME"))
    return "\n".join(parts)


def _call(name: str, about: dict[str, Any], function: Any) -> str:
    words = (function.fn.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
    who = "visitor" if function.fn.for_visitors else "owner"
    lines = [f"## {name}", "", f"{' '.join(words.split())} *Who: {who}.*".strip(), ""]
    if about["parameters"]:
        lines += ["| parameter | type | default | label |", "|---|---|---|---|"]
        lines += [
            f"| `{p['parameter_name']}` | {type_words(p['type'])} | {default_words(p)} | {_cell(p['label'])} |"
            for p in about["parameters"]
        ]
        lines.append("")
    given = ", ".join(f"{_cell(r['label'])} ({type_words(r['type'])})" for r in about["returns"]) or "nothing"
    return "\n".join([*lines, f"Gives: {given}.", ""])


def _cell(text: str) -> str:
    return re.sub(r"^value_\d+$", "shown on the page", str(text)).replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    (PROJECT / "docs" / "api.md").write_text(page(), encoding="utf-8")
    os._exit(0)  # the app's watching threads have nothing to do here
