"""HTML from autoescaping Jinja2 templates, and CSS and JavaScript from files of their own.

A package that shows HTML has two folders: `templates/` with files named `NAME.html`, and `static/`. Every value of a
template is escaped unless it is a `markupsafe.Markup`, which `render` returns, so templates can be nested. Adding a
plain `str` to a `Markup` escapes the string: combine pieces inside a template or with `Markup("").join(pieces)`.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


class PageFiles:
    """Templates and static files of one package."""

    def __init__(self, folder: Path):
        """Open a package's folder.

        Args:
            folder: Holds `templates/` and `static/`.
        """
        self._static = folder / "static"
        # A misspelled variable must fail in a test instead of rendering as nothing, hence StrictUndefined. Templates
        # are part of the code, so each is read once and kept.
        self._environment = Environment(
            loader=FileSystemLoader(folder / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, /, **values: Any) -> Markup:
        """Return `templates/NAME.html` with its values filled in.

        Args:
            name: The file's name without `.html`.
            **values: The template's variables; strings are escaped, `Markup` is not.

        Raises:
            jinja2.UndefinedError: The template uses a variable that is not given.
        """
        return Markup(self._environment.get_template(f"{name}.html").render(values))

    def read_static(self, name: str) -> str:
        """Return the text of a file in `static/`, such as `chart.css`."""
        return (self._static / name).read_text(encoding="utf-8")


_files = PageFiles(Path(__file__).parent)
render, read_static = _files.render, _files.read_static
