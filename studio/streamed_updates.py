"""Updates of a running event, sent so that none of them is lost in the browser.

A generator's first outputs are sent whole, and later ones as edits of those before. Gradio's client edits the objects
of the outputs before in place, also if the page has not shown them yet, which happens if two messages arrive together,
as on a slow machine:

    first   {"visible": false}     shown late, as {}
    second  {}                     sent as the edit: delete "visible"

So what an edit deletes from an update might never be seen. Such an update is sent whole instead of as an edit.
"""

from typing import Any


def keep_earlier(edits: Any, value: Any) -> Any:
    """Return edits that take nothing from the output before: those that delete a part are replaced by the whole value.

    Args:
        edits: The edits of one output, as Gradio made them.
        value: The output itself.
    """
    is_update = isinstance(value, dict) and value.get("__type__") == "update"
    return [["replace", [], value]] if is_update and any(action == "delete" for action, *_ in edits) else edits
