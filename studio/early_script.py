"""Scripts that run before those of Gradio, in the HTML of the page.

Gradio's own option `head` adds scripts after its modules have read what these scripts change.
"""

from studio.html import read_static

_HEAD = b"<head>"
_NAMES = ("slow_clock.js", "busy.js", "dropdown_keys.js")
_SCRIPTS = "".join(f"<script>{read_static(name)}</script>" for name in _NAMES).encode()


def with_early_script(html: bytes) -> bytes:
    """Return a page's HTML with the scripts at the beginning of its head; HTML without a head stays as it is."""
    return html.replace(_HEAD, _HEAD + _SCRIPTS, 1)
