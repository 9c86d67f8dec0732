"""Render the page's HTML from studio/templates; read its CSS and JavaScript from studio/static.

components/html.py describes how values are escaped.
"""

from pathlib import Path

from components.html import PageFiles

_files = PageFiles(Path(__file__).parent)
render, read_static = _files.render, _files.read_static
