"""Actions on runs: start, stop, kill, resume, reorder the queue, label, archive, delete."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from pydantic import ValidationError

from components.conversation import chips_html
from core.access import roles
from core.errors import StudioError, sentences
from core.runs import process
from core.runs.config import TITLES
from core.runs.store import ACTIVE, NOT_ENDED, RESUMABLE, Label, Run, RunStore
from studio.handlers import info
from studio.train.marking import parse_config


class RunControls:
    """Event handlers of the list of runs, its buttons and the label form."""

    def __init__(self, runs: RunStore):
        self.runs = runs

    def _run(self, run_id: str | None) -> Run:
        if not run_id:
            raise StudioError("No run is selected. Select one in the list first.")
        return self.runs.run(run_id)

    def choices(self, with_archived: bool = False) -> list[tuple[str, str]]:
        """Return (label, id) of every run, the newest first.

        Args:
            with_archived: Whether archived runs are listed, too.
        """
        found = []
        for run in self.runs.runs():
            label = run.label()
            if with_archived or not label.archived:
                tags = "".join(f" #{tag}" for tag in label.tags)
                found.append((f"{label.name or run.id} · {run.state().status}{tags}", run.id))
        return found

    def refresh_list(self, run_id: str | None, with_archived: bool) -> dict[str, Any]:
        """Return the runs that exist now, and keep the selected one.

        If it is gone, the run that trains is selected, or else the newest.

        Args:
            run_id: The selected run.
            with_archived: Whether archived runs are listed, too.
        """
        choices = self.choices(with_archived)
        ids = [value for _, value in choices]
        if run_id not in ids:
            active = self.runs.active()
            run_id = active.id if active and active.id in ids else next(iter(ids), None)
        return {"run": gr.update(choices=choices, value=run_id)}

    def stop(self, run_id: str | None) -> None:
        """Stop a run after its current step, with a checkpoint, or remove a waiting run from the queue."""
        if process.stop(self.runs, self._run(run_id)):
            info("It saves a checkpoint and an adapter after the current step.", title="Stopping")
        else:
            info("It will not start.", title="Removed from the queue")

    def kill(self, run_id: str | None) -> None:
        """Kill a run now; its progress since the last checkpoint is lost."""
        process.kill(self.runs, self._run(run_id))
        info("Its progress since the last checkpoint is lost. Resume continues from that checkpoint.", title="Killed")

    def resume(self, run_id: str | None, with_form: bool, **values: Any) -> None:
        """Continue a run from its last checkpoint, optionally with the form's values."""
        run = self._run(run_id)
        new_values = parse_config(values).model_dump() if with_form else {}
        step = process.last_step(run)
        changed = process.resume(self.runs, run, **new_values)
        text = f"From step {step}." if step else "From the first step, because it has no checkpoint."
        if changed:
            text += (
                f" Changed: {'; '.join(f'{TITLES[name]} {old!r} → {new!r}' for name, (old, new) in changed.items())}."
            )
        info(text, title=f"Resumed {run.title}")

    def move(self, run_id: str | None, by: int) -> dict[str, Any]:
        """Move a waiting run within the queue.

        Args:
            run_id: A queued run.
            by: How many positions later; negative is earlier.
        """
        process.reorder(self.runs, self._run(run_id), by)
        return self.render_queue()

    def render_queue(self) -> dict[str, Any]:
        """Return the waiting runs in order, hidden if there are none."""
        waiting = [run.title for run in self.runs.queue()]
        html = chips_html([("Queue:", ", then ".join(waiting), False)])
        return {"queue": gr.update(value=html, visible=bool(waiting))}

    def update_buttons(self, run_id: str | None) -> dict[str, Any]:
        """Enable the buttons that apply to the run's status; a visitor has none."""
        status = self._run(run_id).state().status if run_id and roles.caller().is_owner else None
        enabled = {
            "stop": status in ("queued", "preparing", "running"),
            "kill": status in ACTIVE,
            "resume": status in RESUMABLE,
            "earlier": status == "queued",
            "later": status == "queued",
        }
        return {name: gr.update(interactive=flag) for name, flag in enabled.items()}

    def read_label(self, run_id: str | None) -> dict[str, Any]:
        """Return the run's name, tags, note and archived flag."""
        label = self._run(run_id).label() if run_id else Label()
        return {"name": label.name, "tags": ", ".join(label.tags), "note": label.note, "archived": label.archived}

    def save_label(
        self, run_id: str | None, name: str, tags: str, note: str, archived: bool, with_archived: bool
    ) -> dict[str, Any]:
        """Save a run's name, tags, note and archived flag.

        Args:
            run_id: The run.
            name: Empty for none; the id is shown then.
            tags: Separated by commas, with or without `#`.
            note: Free text.
            archived: Whether the run is left out of the list.
            with_archived: Whether archived runs are listed on this page.
        """
        run = self._run(run_id)
        tag_list = list(dict.fromkeys(tag.strip().lstrip("#") for tag in (tags or "").split(",") if tag.strip(" #")))
        try:
            label = Label(name=(name or "").strip(), tags=tag_list, note=note or "", archived=bool(archived))
        except ValidationError as error:
            raise StudioError(sentences(error, lambda key: Label.model_fields[key].title)) from error
        run.save_label(label)
        return self.refresh_list(run.id, with_archived)

    def delete(self, run_id: str | None, typed: str, with_archived: bool) -> dict[str, Any]:
        """Delete an ended run with all its files; its id must be typed to confirm.

        Args:
            run_id: The run.
            typed: The text that must equal the id.
            with_archived: Whether archived runs are listed on this page.
        """
        run = self._run(run_id)
        if run.state().status in NOT_ENDED:
            raise StudioError(f"The run {run.id} is {run.state().status}. Stop it before you delete it.")
        if (typed or "").strip() != run.id:
            raise StudioError(f"To delete this run with its adapters, type its id: {run.id}")
        with self.runs.lock():
            self.runs.remove(run)
        info("Its adapters and checkpoints are deleted.", title=f"Deleted {run.id}")
        return self.refresh_list(None, with_archived)


@dataclass(frozen=True)
class ControlWidgets:
    """The list of runs, the queue, and the buttons of the selected run."""

    run: gr.Dropdown
    stop: gr.Button
    kill: gr.Button
    resume: gr.Button
    earlier: gr.Button
    later: gr.Button
    queue: gr.HTML

    @property
    def buttons(self) -> dict[str, Block]:
        """Return the buttons that `update_buttons` enables, by name."""
        return {
            "stop": self.stop, "kill": self.kill, "resume": self.resume, "earlier": self.earlier, "later": self.later,
        }  # fmt: skip


@dataclass(frozen=True)
class LabelWidgets:
    """The form of a run's label, and the options of the list.

    Attributes:
        with_form: Whether Resume applies the form's values.
        with_archived: Whether archived runs are listed.
        typed: The id that confirms a deletion.
    """

    with_form: gr.Checkbox
    name: gr.Textbox
    tags: gr.Textbox
    note: gr.Textbox
    archived: gr.Checkbox
    save: gr.Button
    with_archived: gr.Checkbox
    typed: gr.Textbox
    delete: gr.Button

    @property
    def label(self) -> dict[str, Block]:
        """Return the widgets that `read_label` fills and `save_label` reads, by name."""
        return {"name": self.name, "tags": self.tags, "note": self.note, "archived": self.archived}


def build_controls() -> ControlWidgets:
    """Build the list of runs and the buttons in the open layout."""
    disabled = {"interactive": False, "size": "sm", "min_width": 76}
    with gr.Row(elem_id="run-row"):
        run = gr.Dropdown(label="Run", allow_custom_value=True, elem_id="run", scale=4, min_width=260)
    with gr.Row(elem_id="run-buttons"):
        stop = gr.Button("Stop", variant="stop", elem_id="stop", **disabled)
        resume = gr.Button("Resume", elem_id="resume", **disabled)
        kill = gr.Button("Kill", elem_id="kill", **disabled)
        earlier = gr.Button("Move up", elem_id="earlier", **disabled)
        later = gr.Button("Move down", elem_id="later", **disabled)
    queue = gr.HTML(elem_id="queue", padding=False, visible=False)
    return ControlWidgets(run, stop, kill, resume, earlier, later, queue)


def build_label() -> LabelWidgets:
    """Build the label form in the open layout."""
    about = Label.model_fields
    with gr.Accordion("Name, resume, archive, delete", open=False, elem_id="run-more"):
        with_form = gr.Checkbox(
            False, label="Resume with the form's values",
            info="Applies the settings that may change during a run; others are refused by name.",
            elem_id="resume-with-form",
        )  # fmt: skip
        with gr.Row():
            name = gr.Textbox(label=about["name"].title, info=about["name"].description, elem_id="run-name")
            tags = gr.Textbox(label=about["tags"].title, info="Separated by commas.", elem_id="run-tags")
        note = gr.Textbox(label=about["note"].title, info=about["note"].description, lines=2, elem_id="run-note")
        with gr.Row():
            archived = gr.Checkbox(False, label="Archived", info=about["archived"].description, elem_id="run-archived")
            with_archived = gr.Checkbox(False, label="Show archived runs", elem_id="runs-all")
        save = gr.Button("Save name, tags and note", size="sm", elem_id="save-label")
        with gr.Row():
            typed = gr.Textbox(label="Delete", info="Type the run's id to delete it with all its files.",
                               elem_id="delete-id")  # fmt: skip
            delete = gr.Button("Delete permanently", variant="stop", size="sm", elem_id="delete-run")
    return LabelWidgets(with_form, name, tags, note, archived, save, with_archived, typed, delete)
