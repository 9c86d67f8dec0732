"""A text that the browser keeps in its local storage from one visit to the next.

Gradio 6.31 reads a `gr.BrowserState` only after it has sent the page's load events, so those get its default value.
Here the load event reads the storage itself, before it calls the handler.
"""

import json
from dataclasses import dataclass

import gradio as gr

# %s is the key as a JavaScript string. A browser that denies storage to a framed page raises an error at every access.
_WRITE = "text => { try { if (text) localStorage.setItem(%s, text); } catch { /* nothing is stored */ } }"
_READ = "() => { try { return localStorage.getItem(%s) || ''; } catch { return ''; } }"


@dataclass(frozen=True)
class StoredText:
    """A hidden textbox whose value the browser stores.

    Attributes:
        text: An event handler that sets it also writes the storage.
        read: The `js` of an event whose only input is `text`; its handler then gets the stored value.
    """

    text: gr.Textbox
    read: str


def build_stored_text(key: str, elem_id: str) -> StoredText:
    """Build the textbox and store its value at every change.

    Args:
        key: The value's name in the browser's local storage.
        elem_id: The textbox's element id.
    """
    text = gr.Textbox(visible="hidden", elem_id=elem_id, label=key)
    name = json.dumps(key)
    text.change(None, text, None, js=_WRITE % name)
    return StoredText(text, _READ % name)
