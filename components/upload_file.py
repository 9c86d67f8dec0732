"""A file that the user uploads, whose handler gets the path of the upload.

`gr.File` leaves an empty temporary file in the folder of uploads for each call, which then counts as an upload.
"""

from abc import ABCMeta
from typing import Any

import gradio as gr


def _get_block_name(self: gr.File) -> str:
    """Return the name of the frontend's component."""
    return "file"


def _preprocess(self: gr.File, payload: Any) -> str | None:
    """Return the path of the upload; None without one.

    Raises:
        gr.Error: The name has an ending that the field does not take.
    """
    if payload is None:
        return None
    endings = tuple(ending.lower() for ending in self.file_types or ("",))
    if not payload.path.lower().endswith(endings):
        raise gr.Error(f"This file cannot be opened here. Choose one that ends in {', '.join(endings)}.")
    return payload.path


# Not a class statement: Gradio's metaclass would write a .pyi file beside this one when it is imported.
UploadFile: type[gr.File] = ABCMeta.__new__(
    type(gr.File), "UploadFile", (gr.File,), {"preprocess": _preprocess, "get_block_name": _get_block_name}
)
