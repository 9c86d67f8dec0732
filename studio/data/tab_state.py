"""Values that an open Data tab keeps, which its events change and listen to."""

from dataclasses import dataclass

import gradio as gr

# Ids of tabs of the pane: the open row, the form for subsets, and the export.
ROW_TOOL, CREATE_TOOL, EXPORT_TOOL = "row", "create", "export"


@dataclass(frozen=True)
class TabState:
    """Values that the page keeps.

    Attributes:
        page: The `PageState`.
        scope: The part of it that filters leave alone.
        searched: Its search, which the open row highlights.
        ticked: Numbers of the ticked rows.
        opened: Number of the open row, or None.
        changes: Rows that are edited, excluded or added, by dataset.
        created: Name of the subset created last, or None.
    """

    page: gr.State
    scope: gr.State
    searched: gr.State
    ticked: gr.State
    opened: gr.State
    changes: gr.State
    created: gr.State
