"""The files that are served are those that the page loads."""

import re
from pathlib import Path

from gradio.routes import BUILD_PATH_LIB

from studio.page_files import MAX_FILE_BYTES, page_files

FRONTEND = Path(BUILD_PATH_LIB).parent
# Scripts that a script needs before it runs; components are imported when the page has one of them.
_STATIC_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*["']\./([^"']+)["']""")


def test_every_file_that_the_page_starts_with_is_served():
    html = (FRONTEND / "index.html").read_text()
    pending = re.findall(r'(?:src|href)="\./((?:assets|static|svelte)/[^"]+)"', html)
    assert len(pending) > 1
    needed: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            if name.endswith(".js"):
                found = _STATIC_IMPORT.findall((FRONTEND / name).read_text())
                pending += [f"assets/{each}" for each in found]
    assert {f"/{name}" for name in needed} <= page_files()


def test_large_files_are_not_served():
    sizes = [(FRONTEND / name[1:]).stat().st_size for name in page_files()]
    assert len(sizes) > 100
    assert max(sizes) <= MAX_FILE_BYTES
    assert not any(name.startswith(("/static/ffmpeg", "/static/bokeh")) for name in page_files())
