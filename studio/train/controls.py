"""What can be done with runs: stop, kill, resume, queue, name, archive, delete."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.conversation import chips_html
from core.access import roles
from core.errors import StudioError, sentences
from core.runs import process
from core.runs.config import TITLES, QLoRAConfig
from core.runs.store import ACTIVE, RESUMABLE, WAITING, Label, Run, RunStore
from studio.handlers import info
from studio.train.values import config_of


class Controls:
    """What this part does; names no widget's layout."""

    def __init__(self, runs: RunStore):
        self.runs = runs

    def _run(self, run_id: str | None) -> Run:
        if not run_id:
            raise StudioError("No run is chosen. Choose one in the list first.")
        return self.runs.run(run_id)

    def choices(self, archived: bool = False) -> list[tuple[str, str]]:
        """Every run by its name and status, the newest first."""
        found = []
        for run in self.runs.runs():
            label = run.label()
            if archived or not label.archived:
                tags = "".join(f" #{tag}" for tag in label.tags)
                found.append((f"{label.name or run.id} · {run.state().status}{tags}", run.id))
        return found

    def listed(self, run_id: str | None, archived: bool) -> Any:
        """The runs there are now; the one that is watched stays so. Where there was none, that which trains is shown,
        else the newest."""
        choices = self.choices(archived)
        known = [name for _, name in choices]
        if run_id not in known:
            active = self.runs.active()
            run_id = active.id if active and active.id in known else next(iter(known), None)
        return gr.update(choices=choices, value=run_id)

    def start(self, archived: bool, **values: Any) -> Any:
        """Queue a run, which starts at once when nothing is before it, and show it."""
        run = process.submit(self.runs, config_of(values))
        if run.state().status == "queued":
            info("It starts when the runs before it have ended.", title=f"Queued {run.id}")
        else:
            info("Its curve appears on this page and goes on when the page is closed.", title=f"Started {run.id}")
        return gr.update(choices=self.choices(archived), value=run.id)

    def stop(self, run_id: str | None) -> None:
        """Let a run end after the present step, with a checkpoint; a waiting one leaves the queue."""
        run = self._run(run_id)
        if run.saved_state().status == "queued":
            process.cancel(self.runs, run)
            info("It will not be started.", title="Taken out of the queue")
            return
        run.request_stop()
        info("It writes a checkpoint and an adapter after the present step.", title="Stopping")

    def kill(self, run_id: str | None) -> None:
        """End a run now; what it did since its last checkpoint is lost."""
        process.kill(self.runs, self._run(run_id))
        info("What it did since its last checkpoint is lost. Resume goes on from there.", title="Killed")

    def resume(self, run_id: str | None, with_form: bool, **values: Any) -> None:
        """Go on from the last checkpoint, with the form's values where they may change."""
        run = self._run(run_id)
        changes = config_of(values).model_dump() if with_form else {}
        step = process.last_step(run)
        changed = process.resume(self.runs, run, **changes)
        said = "; ".join(f"{TITLES[name]} {old!r} → {new!r}" for name, (old, new) in changed.items())
        words = f"From step {step}." if step else "From its beginning, as there is no checkpoint."
        info(f"{words} {f'Changed: {said}.' if said else ''}", title=f"Resumed {run.title}")

    def move(self, run_id: str | None, by: int) -> Any:
        process.reorder(self.runs, self._run(run_id), by)
        return self.queue_words()

    def queue_words(self) -> Any:
        """The runs that wait, the next one first; nothing when none does."""
        waiting = [run.title for run in self.runs.queue()]
        return gr.update(value=chips_html([("Queue:", ", then ".join(waiting), False)]), visible=bool(waiting))

    def able(self, run_id: str | None) -> list[Any]:
        """Whether Stop, Kill, Resume and the two moves in the queue can be pressed."""
        status = self._run(run_id).state().status if run_id and roles.caller().is_owner else None
        on = [
            status in ("queued", "preparing", "running"),
            status in ACTIVE,
            status in RESUMABLE,
            status == "queued",
            status == "queued",
        ]
        return [gr.update(interactive=flag) for flag in on]

    def label(self, run_id: str | None) -> tuple[str, str, str, bool]:
        found = self._run(run_id).label() if run_id else Label()
        return found.name, ", ".join(found.tags), found.note, found.archived

    def save_label(self, run_id: str | None, name: str, tags: str, note: str, archived: bool, every: bool) -> Any:
        """Give a run a name, tags and a note, or archive it."""
        run = self._run(run_id)
        words = list(dict.fromkeys(tag.strip().lstrip("#") for tag in (tags or "").split(",") if tag.strip(" #")))
        try:
            label = Label(name=(name or "").strip(), tags=words, note=note or "", archived=bool(archived))
        except ValidationError as error:
            raise StudioError(sentences(error, lambda key: Label.model_fields[key].title)) from error
        run.save_label(label)
        return self.listed(run.id, every)

    def duplicate(self, run_id: str | None) -> list[Any]:
        """The form filled in as a run has it."""
        config: QLoRAConfig = self._run(run_id).config()
        return list(config.model_dump().values())

    def delete(self, run_id: str | None, typed: str, archived: bool) -> Any:
        """Remove an ended run with all its files, once its id was typed."""
        run = self._run(run_id)
        if run.state().status in WAITING:
            raise StudioError(f"The run {run.id} is {run.state().status}. Stop it before it is deleted.")
        if (typed or "").strip() != run.id:
            raise StudioError(f"To delete this run with its adapters, type its id: {run.id}")
        with self.runs.lock():
            self.runs.remove(run)
        info("Its adapters and checkpoints are gone.", title=f"Deleted {run.id}")
        return self.listed(None, archived)


@dataclass(frozen=True)
class ControlWidgets:
    run: gr.Dropdown
    stop: gr.Button
    kill: gr.Button
    resume: gr.Button
    earlier: gr.Button
    later: gr.Button
    queue: gr.HTML

    @property
    def able(self) -> list[gr.Button]:
        return [self.stop, self.kill, self.resume, self.earlier, self.later]


@dataclass(frozen=True)
class LabelWidgets:
    with_form: gr.Checkbox
    name: gr.Textbox
    tags: gr.Textbox
    note: gr.Textbox
    archived: gr.Checkbox
    save: gr.Button
    every: gr.Checkbox
    typed: gr.Textbox
    delete: gr.Button

    @property
    def label(self) -> list[gr.components.Component]:
        return [self.name, self.tags, self.note, self.archived]


def build_controls() -> ControlWidgets:
    off = {"interactive": False, "size": "sm", "min_width": 76}
    with gr.Row(elem_id="run-row"):
        run = gr.Dropdown(label="Run", allow_custom_value=True, elem_id="run", scale=4, min_width=260)
    with gr.Row(elem_id="run-buttons"):
        stop = gr.Button("Stop", variant="stop", elem_id="stop", **off)
        resume = gr.Button("Resume", elem_id="resume", **off)
        kill = gr.Button("Kill", elem_id="kill", **off)
        earlier = gr.Button("Earlier", elem_id="earlier", **off)
        later = gr.Button("Later", elem_id="later", **off)
    queue = gr.HTML(elem_id="queue", padding=False, visible=False)
    return ControlWidgets(run, stop, kill, resume, earlier, later, queue)


def build_label() -> LabelWidgets:
    about = Label.model_fields
    with gr.Accordion("Name, resume, archive, delete", open=False, elem_id="run-more"):
        with_form = gr.Checkbox(
            False, label="Resume with the form's values",
            info="Those that may change while a run goes on are applied; others are refused by name.",
            elem_id="resume-with-form",
        )  # fmt: skip
        with gr.Row():
            name = gr.Textbox(label=about["name"].title, info=about["name"].description, elem_id="run-name")
            tags = gr.Textbox(label=about["tags"].title, info="Words with commas between.", elem_id="run-tags")
        note = gr.Textbox(label=about["note"].title, info=about["note"].description, lines=2, elem_id="run-note")
        with gr.Row():
            archived = gr.Checkbox(False, label="Archived", info=about["archived"].description, elem_id="run-archived")
            every = gr.Checkbox(False, label="List archived runs, too", elem_id="runs-all")
        save = gr.Button("Save name, tags and note", size="sm", elem_id="save-label")
        with gr.Row():
            typed = gr.Textbox(label="Delete", info="Type the run's id to delete it with all its files.",
                               elem_id="delete-id")  # fmt: skip
            delete = gr.Button("Delete for good", variant="stop", size="sm", elem_id="delete-run")
    return LabelWidgets(with_form, name, tags, note, archived, save, every, typed, delete)
