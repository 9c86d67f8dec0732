"""Widgets of the list of runs, of the buttons of the selected run, and of its label."""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from core.runs.store import Label
from studio.train.controls import WITH_FORM


@dataclass(frozen=True)
class ControlWidgets:
    """The list of runs, which is also the title of the view, the queue, and the buttons of the selected run.

    Attributes:
        run: The selected run.
        rename: Shows `rename_row`.
        ask_kill: Shows `kill_row`, in which `kill` is.
        kill_text: What would be lost.
        keep_waiting: Hides `kill_row`.
        next_steps: Buttons that open another tab with the run, by the tab.
        duplicate: Fills the form with the run's settings.
        with_form: Whether Resume applies the form's values.
    """

    run: gr.Dropdown
    rename: gr.Button
    rename_row: gr.Row
    name: gr.Textbox
    save_name: gr.Button
    cancel_rename: gr.Button
    duplicate: gr.Button
    stop: gr.Button
    ask_kill: gr.Button
    kill_row: gr.Row
    kill_text: gr.Markdown
    kill: gr.Button
    keep_waiting: gr.Button
    next_steps: dict[str, gr.Button]
    resume: gr.Button
    with_form: gr.Checkbox
    earlier: gr.Button
    later: gr.Button
    queue: gr.HTML

    @property
    def buttons(self) -> dict[str, Block]:
        """Return the controls that depend on the run's status, by name."""
        names = ("stop", "ask_kill", "kill_row", "resume", "with_form", "earlier", "later", "rename", "duplicate")
        return {**{name: getattr(self, name) for name in names}, **self.next_steps}

    @property
    def rename_outputs(self) -> dict[str, Block]:
        """Return the widgets that `open_rename` and `close_rename` update, by name."""
        return {"rename_row": self.rename_row, "name": self.name}


@dataclass(frozen=True)
class LabelWidgets:
    """The rest of a run's label, and its deletion.

    Attributes:
        more: The accordion around them.
        typed: The id that confirms a deletion.
    """

    more: gr.Accordion
    tags: gr.Textbox
    note: gr.Textbox
    archived: gr.Checkbox
    save: gr.Button
    typed: gr.Textbox
    delete: gr.Button

    @property
    def label(self) -> dict[str, Block]:
        """Return the widgets that `read_label` fills and `save_label` reads, by name; the name has a row of its own."""
        return {"tags": self.tags, "note": self.note, "archived": self.archived}


def build_controls() -> ControlWidgets:
    """Build the list of runs and the buttons in the open layout; a button is shown when it applies."""
    about = Label.model_fields
    with gr.Row(elem_id="run-row"):
        run = gr.Dropdown(label="Run", show_label=False, container=False, allow_custom_value=True, elem_id="run",
                          scale=4, min_width=200)  # fmt: skip
        rename = gr.Button("Rename", size="sm", scale=0, min_width=84, visible=False, elem_id="rename")
    with gr.Row(visible=False, elem_id="rename-row") as rename_row:
        name = gr.Textbox(label=about["name"].title, info=about["name"].description, scale=4,
                          elem_id="run-name")  # fmt: skip
        save_name = gr.Button("Save", size="sm", scale=0, min_width=84, elem_id="save-name")
        cancel = gr.Button("Cancel", size="sm", scale=0, min_width=84, elem_id="cancel-rename")
    small = {"size": "sm", "scale": 0, "min_width": 96, "visible": False}
    with gr.Row(elem_id="run-buttons"):
        stop = gr.Button("Stop", variant="stop", elem_id="stop", **small)
        ask_kill = gr.Button("Force stop …", elem_id="ask-kill", **(small | {"min_width": 120}))
        next_steps = {
            "chat": gr.Button("Chat with it", variant="primary", elem_id="chat-with-run", **small),
            "evaluate": gr.Button("Evaluate it", elem_id="evaluate-run", **small),
            "export": gr.Button("Export it", elem_id="export-this-run", **small),
        }
        duplicate = gr.Button("Duplicate and change", elem_id="duplicate-run", **(small | {"min_width": 170}))
        resume = gr.Button("Resume", elem_id="resume", **small)
        earlier = gr.Button("Move up", elem_id="earlier", **small)
        later = gr.Button("Move down", elem_id="later", **small)
        with_form = gr.Checkbox(
            False, label=WITH_FORM, container=False, visible=False, min_width=240,
            elem_id="resume-with-form",
        )  # fmt: skip
    with gr.Row(visible=False, elem_id="kill-row") as kill_row:
        kill_text = gr.Markdown(elem_id="kill-text")
        kill = gr.Button("Force stop now", variant="stop", size="sm", scale=0, min_width=140, elem_id="kill")
        keep = gr.Button("Keep waiting", size="sm", scale=0, min_width=120, elem_id="keep-waiting")
    queue = gr.HTML(elem_id="queue", padding=False, visible=False)
    return ControlWidgets(
        run, rename, rename_row, name, save_name, cancel, duplicate, stop, ask_kill, kill_row, kill_text, kill, keep,
        next_steps, resume, with_form, earlier, later, queue,
    )  # fmt: skip


def build_label() -> LabelWidgets:
    """Build the form of the label in the open layout."""
    about = Label.model_fields
    with gr.Accordion("Tags, note, archive, delete", open=False, visible=False, elem_id="run-more") as more:
        tags = gr.Textbox(label=about["tags"].title, info="Separated by commas.", elem_id="run-tags")
        note = gr.Textbox(label=about["note"].title, info=about["note"].description, lines=2, elem_id="run-note")
        archived = gr.Checkbox(False, label="Archived", info=about["archived"].description, elem_id="run-archived")
        save = gr.Button("Save tags and note", size="sm", elem_id="save-label")
        with gr.Row():
            typed = gr.Textbox(label="Delete", info="Type the run's id to delete it with all its files.",
                               elem_id="delete-id")  # fmt: skip
            delete = gr.Button("Delete permanently", variant="stop", size="sm", elem_id="delete-run")
    return LabelWidgets(more, tags, note, archived, save, typed, delete)
