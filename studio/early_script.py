"""Scripts that run before those of Gradio, and rules for what is outside the tabs, in the HTML of the page.

Gradio's own option `head` adds scripts after its modules have read what these scripts change, and its option
`css` reaches only what is inside the tabs.
"""

from studio.html import read_static

_HEAD = b"<head>"
_NAMES = ("slow_clock.js", "busy.js", "begun.js", "dropdown_keys.js", "upload_progress.js", "toasts.js")
_SCRIPTS = "".join(f"<script>{read_static(name)}</script>" for name in _NAMES).encode()
_STYLE = f"<style>{read_static('loading.css')}{read_static('toasts.css')}</style>".encode()


def with_early_script(html: bytes) -> bytes:
    """Return a page's HTML with scripts and style at the beginning of its head; HTML without a head stays as it is."""
    return html.replace(_HEAD, _HEAD + _SCRIPTS + _STYLE, 1)
