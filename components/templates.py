"""HTML from Jinja2 templates that escape every value.

Templates are files named `NAME.html` in a folder. A value that already is HTML, such as the result of another
template, is a `markupsafe.Markup` and is not escaped again.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


class Templates:
    """The templates of one folder."""

    def __init__(self, folder: Path):
        """Open a folder of templates.

        Args:
            folder: holds files named `NAME.html`.
        """
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, **values: Any) -> Markup:
        """Return `NAME.html` with its values filled in.

        Raises:
            jinja2.UndefinedError: if the template uses a value that is not given.
        """
        return Markup(self._environment.get_template(f"{name}.html").render(values))
