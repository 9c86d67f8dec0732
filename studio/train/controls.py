"""Actions on runs: start, stop, kill, resume, reorder the queue, rename, label, archive, delete."""

from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.conversation import chips_html
from core.access import roles
from core.errors import StudioError, sentences
from core.evaluate.store import EvaluationStore
from core.runs import checkpoints, process
from core.runs.config import TITLES
from core.runs.progress import progress
from core.runs.store import NOT_ENDED, RESUMABLE, Label, Run, RunStore
from core.system.files import file_size
from studio.handlers import info
from studio.train.marking import parse_config

WITH_FORM = "Resume with the form's settings"
_NO_CHECKPOINT = "There is no checkpoint yet: all progress is lost."
TRAIN_FURTHER = "Train it further, with more steps: those of the form"


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
        found, titles = [], self.runs.titles()
        for run in self.runs.runs():
            label = run.label()
            if with_archived or not label.archived:
                tags = "".join(f" #{tag}" for tag in label.tags)
                found.append((f"{titles.get(run.id, run.title)} · {run.state().status}{tags}", run.id))
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
            info("It ends after its next step, and saves a checkpoint and an adapter.", title="Stopping")
        else:
            info("It will not start.", title="Removed from the queue")

    def kill(self, run_id: str | None) -> dict[str, Any]:
        """Kill a run now; its progress since the last checkpoint is lost."""
        run = self._run(run_id)
        process.kill(self.runs, run)
        step = process.last_step(run)
        text = f"Resume continues from step {step:,}." if step else "It had no checkpoint, so Resume starts again."
        info(text, title="Stopped at once")
        return self.keep_waiting()

    def ask_kill(self, run_id: str | None) -> dict[str, Any]:
        """Show the button that kills a run, with the progress that would be lost."""
        run = self._run(run_id)
        step, trained = process.last_step(run), progress(run.events()).step
        if trained <= step:
            lost = f"Nothing is lost: step {step:,}, the last one so far, is saved." if step else "No step is done yet."
        else:
            lost = f"All progress since step {step:,} is lost." if step else _NO_CHECKPOINT
        return {"kill_row": gr.update(visible=True), "kill_text": f"Stop at once? {lost}"}

    def keep_waiting(self) -> dict[str, Any]:
        """Hide the button that kills a run."""
        return {"kill_row": gr.update(visible=False)}

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
        titles = self.runs.titles()
        waiting = [titles.get(run.id, run.title) for run in self.runs.queue()]
        html = chips_html([("Queue:", ", then ".join(waiting), False)])
        return {"queue": gr.update(value=html, visible=bool(waiting))}

    def update_buttons(self, run_id: str | None, with_form: bool = False) -> dict[str, Any]:
        """Show the controls that apply to the run's status; a visitor has none.

        Args:
            run_id: The selected run.
            with_form: Whether Resume applies the form's values, which can continue a finished run.
        """
        run = self._run(run_id) if run_id and roles.caller().is_owner else None
        status = run.state().status if run else None
        resumes = run is not None and status in RESUMABLE and checkpoints.can_resume(run.checkpoints_dir)
        can_answer = status in RESUMABLE and bool(run.adapters())
        shown = {
            "stop": status in ("queued", "preparing", "running"),
            "ask_kill": status == "stopping",
            "resume": resumes and (status != "finished" or with_form),
            "with_form": resumes,
            **dict.fromkeys(("chat", "evaluate", "export"), can_answer),
            "earlier": status == "queued",
            "later": status == "queued",
            "rename": status is not None,
            "duplicate": status not in (None, "unreadable"),
            "more": status is not None,
        }
        updates = {name: gr.update(visible=flag) for name, flag in shown.items()}
        # A run that never left the queue has nothing to continue, and a finished one only continues with more steps.
        again = "Train further" if status == "finished" else "Resume"
        updates["resume"]["value"] = again if run and file_size(run.events_file) else "Start"
        updates["with_form"]["label"] = TRAIN_FURTHER if status == "finished" else WITH_FORM
        # While the run is stopping, the question stays as the user left it. A poll sends only updates that differ from
        # its last ones, so this one, which changes nothing, lets a later poll hide it (`polling.leave_out_known`).
        return {**updates, "kill_row": gr.update() if status == "stopping" else gr.update(visible=False)}

    # Label

    def open_rename(self, run_id: str | None) -> dict[str, Any]:
        """Show the field of the run's name."""
        run = self._run(run_id)
        return {"rename_row": gr.update(visible=True), "name": run.label().name}

    def close_rename(self, run_id: str | None) -> dict[str, Any]:
        """Hide the field of the run's name, and forget what was typed."""
        return {"rename_row": gr.update(visible=False), "name": self._run(run_id).label().name if run_id else ""}

    def save_name(self, run_id: str | None, name: str, with_archived: bool) -> dict[str, Any]:
        """Save a run's name; an empty one leaves it to the settings again.

        Args:
            run_id: The run.
            name: The name.
            with_archived: Whether archived runs are listed on this page.
        """
        run = self._run(run_id)
        _save_label(run, run.label().model_dump() | {"name": name})
        return {**self.refresh_list(run.id, with_archived), **self.close_rename(run.id)}

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
            name: Empty for none; it is made of the settings then.
            tags: Separated by commas, with or without `#`.
            note: Free text.
            archived: Whether the run is left out of the list.
            with_archived: Whether archived runs are listed on this page.
        """
        run = self._run(run_id)
        tag_list = list(dict.fromkeys(tag.strip().lstrip("#") for tag in (tags or "").split(",") if tag.strip(" #")))
        _save_label(run, {"name": name, "tags": tag_list, "note": note or "", "archived": bool(archived)})
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
        title = run.title
        with self.runs.lock():
            EvaluationStore(self.runs.settings).check_unused(run.id)
            self.runs.remove(run)
        info("Its adapters and checkpoints are deleted.", title=f"Deleted {title}")
        return self.refresh_list(None, with_archived)


def _save_label(run: Run, values: dict[str, Any]) -> None:
    """Replace a run's label.

    Raises:
        StudioError: A value is not valid.
    """
    try:
        label = Label(**(values | {"name": (values["name"] or "").strip()}))
    except ValidationError as error:
        raise StudioError(sentences(error, lambda key: Label.model_fields[key].title)) from error
    run.save_label(label)
