"""Gradio's scripts, styles and pictures that the page may load, by their one address each.

Gradio's package also has files for components that the page does not use. The large ones are not served: WebAssembly
for videos (31 MB), Plotly (4.6 MB), Bokeh.
"""

import functools
import os
import re

from gradio.routes import BUILD_PATH_LIB, STATIC_PATH_LIB

# tests/studio/test_page_files.py finds no larger file among those that the page imports.
MAX_FILE_BYTES = 2**20
FILE_ROUTES = re.compile(r"/(?:static|assets|svelte)/.+")
_UNUSED_FOLDERS = ("/static/ffmpeg/", "/static/bokeh/")


@functools.cache
def page_files() -> frozenset[str]:
    """Return the addresses of all files that are served."""
    folders = (("/static", STATIC_PATH_LIB), ("/assets", BUILD_PATH_LIB), ("/svelte", f"{BUILD_PATH_LIB}/svelte"))
    return frozenset(
        address
        for prefix, folder in folders
        for parent, _, names in os.walk(folder)
        for name in names
        if not (address := f"{prefix}{parent.removeprefix(str(folder))}/{name}").startswith(_UNUSED_FOLDERS)
        and os.path.getsize(os.path.join(parent, name)) <= MAX_FILE_BYTES
    )
