"""Export of merged models on the page: the form of their settings, the job with its progress, and its result."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.model_form import build_field
from core.errors import StudioError, sentences
from core.export.card.loading import usage
from core.export.config import FORMS, SETTINGS, ExportConfig
from core.export.result import Exported
from core.export.scratch import remove_leftovers
from core.export.tasks import export
from core.runs.store import RunStore
from core.system.jobs import Job, Jobs
from core.system.sizes import format_size
from studio.html import render
from studio.job_progress import cancel, follow

FORM = "export"
_KEPT = "The file that it was writing is removed."
_KIND = "export-run"
# A cancelled process ends at once.
_END_SECONDS = 5


class ExportJobs:
    """Event handlers of merged exports. They hold no widgets."""

    def __init__(self, runs: RunStore, jobs: Jobs):
        self.runs, self.settings, self.jobs = runs, runs.settings, jobs

    def choose_form(self, form: str) -> dict[str, Any]:
        """Show the settings of a form, and its button: a ZIP of an adapter is written at once, the others by a job."""
        about = FORMS[_form(form)]
        is_adapter = form == "adapter"
        return {
            **{name: gr.update(visible=name in about.settings) for name in SETTINGS},
            "settings_row": gr.update(visible=bool(about.settings)),
            "download": gr.update(visible=is_adapter),
            "start": gr.update(visible=not is_adapter),
            "result": "", "file": gr.update(visible=False), "about": gr.update(visible=is_adapter),
            "form_text": "" if is_adapter else render(
                "export_form", label=about.label, text=about.text, is_merged="base" in about.settings
            ),
        }  # fmt: skip

    def start(self, run_id: str | None, adapter: str | None, form: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Write an adapter in the chosen form, show the progress, and then the file and the comparison."""
        titles = {name: field.title or name for name, field in ExportConfig.model_fields.items()}
        used = {name: value for name, value in values.items() if name in FORMS[_form(form)].settings}
        if empty := [titles[name] for name, value in used.items() if value is None]:
            raise StudioError(f"{empty[0]} is empty or no number. Type a number.")
        try:
            config = ExportConfig(form=_form(form), **used)
        except ValidationError as error:
            raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error
        run = self.runs.run(run_id or "")
        title = f"Exporting {run.title} as {FORMS[config.form].label}"
        kind = f"{_KIND}/{config.file_name(f'{run.id}-{adapter}')}"
        yield from self._follow(self.jobs.start(kind, title, export, self.settings, run.id, adapter or "final", config))

    def watch(self) -> Iterator[dict[str, Any]]:
        """Show the newest export that runs, on a page that was opened or loaded again meanwhile."""
        if job := self.jobs.running(_KIND):
            yield from self._follow(job)

    def cancel(self, job: int | None) -> None:
        """Cancel an export, and remove what it has written."""
        cancel(self.jobs, job)
        if found := self.jobs.find(job):
            found.ended.wait(_END_SECONDS)
        remove_leftovers(self.settings.exports_dir)

    def _follow(self, job: Job) -> Iterator[dict[str, Any]]:
        """Yield the updates of a job; the form is locked until it ends, as its result belongs to it."""
        yield {"result": "", "file": gr.update(visible=False), "form": gr.update(interactive=False)}
        for updates in follow(job, _show, _KEPT):
            yield updates | {"form": gr.update(interactive=updates.get("job") is None)}


def _form(form: str) -> Any:
    if form not in FORMS:
        raise StudioError(f"There is no form {form!r}. Expected one of: {', '.join(FORMS)}.")
    return form


def _show(job: Job) -> dict[str, Any]:
    """Return the updates that show a written file."""
    done: Exported = job.result
    sentence, code = usage(done.form, done.path.stem)
    found = done.fidelity
    html = render(
        "export_result", name=done.path.name, size=format_size(done.size), folder=done.path.parent, sentence=sentence,
        code=code, notes=done.notes, fidelity=found, tone=_tone(done),
        card=done.card and done.card.name,
    )  # fmt: skip
    label = f"Download {done.path.name} ({format_size(done.size)})"
    return {"result": html, "file": gr.update(value=str(done.path), label=label, visible=True)}


def _tone(done: Exported) -> str:
    """Return how the verdict is colored."""
    if done.fidelity is None:
        return "neutral"
    return {"same": "good", "close": "neutral", "different": "bad"}[done.fidelity.grade]


def build_settings() -> dict[str, gr.components.Component]:
    """Build the fields of the settings in the open layout, hidden as long as an adapter is exported."""
    return {name: build_field(FORM, ExportConfig, name, min_width=150, visible=False) for name in SETTINGS}
