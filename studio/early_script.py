"""A script that runs before those of Gradio, in the HTML of the page.

Gradio's own option `head` adds scripts after its modules have read what the script changes.
"""

from studio.html import read_static

_HEAD = b"<head>"
_SCRIPT = f"<script>{read_static('slow_clock.js')}</script>".encode()


def with_early_script(html: bytes) -> bytes:
    """Return a page's HTML with the script at the beginning of its head; HTML without a head stays as it is."""
    return html.replace(_HEAD, _HEAD + _SCRIPT, 1)
