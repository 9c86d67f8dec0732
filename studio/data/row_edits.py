"""Edit, exclude and add rows in the pane of the opened row, for the next subset."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.conversation import chips_html
from components.turn_editor import build_turn_editor, turn_editor_html
from core.access import roles
from core.data.formats import is_plain
from core.errors import StudioError, sentences
from core.settings import Settings
from studio.data.page_state import PageState, State, parse_state
from studio.data.row_changes import Changes, RowChanges, changes_of, with_changes
from studio.event_values import parse_index

NEW_ROW = "new"
_ROLES = ["system", "user", "assistant", "tool"]
_EMPTY = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]


class RowEdits:
    """Event handlers of the changes. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def edit(self, state: State, opened: int | None, changes: Changes) -> dict[str, Any]:
        """Open the editor with the turns of the open row, as they were edited before.

        Raises:
            StudioError: No row is open, or it has no turns.
        """
        page = parse_state(state)
        if not page.dataset or opened is None:
            raise StudioError("No row is open. Click one in the table first.")
        row = page.open_rows(self.settings).row(opened)
        if row["problem"]:
            raise StudioError(
                f"Row {opened:,} cannot be used ({row['problem']}), so it has no turns. Add a row instead."
            )
        turns = changes_of(page, changes).edited.get(opened, row["messages"])
        names = ["text"] if is_plain(turns) else _ROLES
        html = turn_editor_html(f"Edit row {opened:,}", str(opened), turns, names)
        return {"editor": html, "editor_box": gr.update(visible=True), "problem": ""}

    def add(self, state: State) -> dict[str, Any]:
        """Open the editor with a question and an answer that are empty."""
        if not parse_state(state).dataset:
            raise StudioError("No dataset is open. Open one first.")
        html = turn_editor_html("Add a row to train on", NEW_ROW, _EMPTY, _ROLES)
        return {"editor": html, "editor_box": gr.update(visible=True), "problem": ""}

    def close(self) -> dict[str, Any]:
        """Close the editor; what was typed is dropped."""
        return {"editor": "", "editor_box": gr.update(visible=False), "problem": ""}

    def save(self, state: State, changes: Changes, sent: Any) -> dict[str, Any]:
        """Keep the turns of the editor, or say at the editor what is wrong with them.

        Args:
            state: The page's state.
            changes: The changes so far.
            sent: What the editor sends: `row`, a number or `NEW_ROW`, and `turns`.
        """
        page = parse_state(state)
        row, turns = (sent.get("row"), sent.get("turns")) if isinstance(sent, dict) else (None, None)
        found = changes_of(page, changes)
        if row == NEW_ROW:
            new = found.model_copy(update={"added": [*found.added, turns]})
        elif isinstance(row, str) and (index := parse_index(row)) is not None:
            number = page.existing_row(self.settings, index)
            new = found.model_copy(update={"edited": {**found.edited, number: turns}})
        else:
            raise StudioError("The editor sent no row. Reload the page and edit the row again.")
        try:
            kept = with_changes(page, changes, new)
        except ValidationError as error:
            return {"problem": chips_html([("Not saved:", _reason(error), True)])}
        return {"changes": kept, **self.close()}

    def toggle_excluded(self, state: State, opened: int | None, changes: Changes) -> dict[str, Any]:
        """Exclude the open row from the next subset, or include it again."""
        page = parse_state(state)
        if not page.dataset or opened is None:
            raise StudioError("No row is open. Click one in the table first.")
        number, found = page.existing_row(self.settings, opened), changes_of(page, changes)
        rest = [row for row in found.excluded if row != number]
        excluded = rest if number in found.excluded else sorted([*found.excluded, number])
        return {"changes": with_changes(page, changes, found.model_copy(update={"excluded": excluded}))}

    def restore(self, state: State, opened: int | None, changes: Changes) -> dict[str, Any]:
        """Drop the edit of the open row."""
        page = parse_state(state)
        found = changes_of(page, changes)
        edited = {row: turns for row, turns in found.edited.items() if row != opened}
        return {"changes": with_changes(page, changes, found.model_copy(update={"edited": edited}))}

    def discard(self, state: State, changes: Changes) -> dict[str, Any]:
        """Drop all changes of the chosen dataset."""
        return {"changes": with_changes(parse_state(state), changes, RowChanges())}

    def show(self, state: State, opened: int | None, changes: Changes) -> dict[str, Any]:
        """Show how many rows are changed, and what the buttons do to the open row."""
        if not roles.caller().is_owner:
            # For a visitor these buttons are disabled (studio/header.py), and stay as they are.
            return {}
        page: PageState = parse_state(state)
        found = changes_of(page, changes)
        words = found.describe()
        chip = chips_html([("Changes:", f"{words}. “Create subset” saves them; the source stays as it is.", False)])
        return {
            "changes_text": chip if words else "",
            "discard": gr.update(visible=bool(words)),
            "exclude": "Include" if opened in found.excluded else "Exclude",
            "restore": gr.update(visible=opened in found.edited),
        }


def _reason(error: ValidationError) -> str:
    """Return what is wrong with the turns, without its position in the list of changes."""
    reasons = [str(one.get("ctx", {}).get("error") or one["msg"]) for one in error.errors()]
    return reasons[0] if reasons else sentences(error)


@dataclass(frozen=True)
class RowEditsWidgets:
    """Widgets that change rows."""

    edit: gr.Button
    exclude: gr.Button
    restore: gr.Button
    add: gr.Button
    changes_text: gr.HTML
    discard: gr.Button
    editor_box: gr.Column
    editor: gr.HTML
    problem: gr.HTML


def build_row_edits() -> RowEditsWidgets:
    """Build the widgets in the open layout."""
    with gr.Row(elem_id="row-actions"):
        edit = gr.Button("Edit", size="sm", scale=0, min_width=70, elem_id="row-edit")
        exclude = gr.Button("Exclude", size="sm", scale=0, min_width=80, elem_id="row-exclude")
        restore = gr.Button("Restore", size="sm", scale=0, min_width=80, visible=False, elem_id="row-restore")
        add = gr.Button("Add a row", size="sm", scale=0, min_width=90, elem_id="row-add")
        discard = gr.Button("Discard changes", size="sm", scale=0, min_width=130, visible=False, elem_id="row-discard")
    changes_text = gr.HTML(elem_id="row-changes", padding=False)
    with gr.Column(visible=False, elem_id="row-editor") as editor_box:
        editor = build_turn_editor("turn-editor")
        problem = gr.HTML(elem_id="editor-problem", padding=False)
    return RowEditsWidgets(edit, exclude, restore, add, changes_text, discard, editor_box, editor, problem)
