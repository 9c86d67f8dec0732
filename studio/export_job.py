"""Export of merged models on the page: the form of their settings, the job with its progress, and its result."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.model_form import build_field, field_id
from core.access import roles
from core.access.free_disk import writable_bytes
from core.access.quotas import Quotas
from core.access.roles import CLOSED
from core.errors import StudioError, sentences
from core.export import type_comparison
from core.export.availability import form_problem
from core.export.card.loading import usage
from core.export.config import COMBINED, FORMS, GGUF_TYPES, SETTINGS, ExportConfig
from core.export.llama_quantize import INSTALL, is_installed
from core.export.result import Exported
from core.export.size_estimate import estimate_bytes
from core.export.tasks import export
from core.runs.store import RunStore
from core.settings import Settings
from core.system.jobs import Job, Jobs
from core.system.sizes import format_size
from studio.export_combine import COMBINE
from studio.html import render
from studio.job_progress import cancel_and_clean, follow

FORM = "export"
_AFTER_CANCEL = "The file that it was writing is removed."
_KIND = "export-run"
# Settings that decide the size of the file, or whether it can be made; `also` is passed by itself.
OF_SIZE = ("base", "dtype", "quantization")
# Settings that matter where several adapters are combined.
_OF_SEVERAL = ("combination", "weight")


class ExportJobs:
    """Event handlers of merged exports. They hold no widgets."""

    def __init__(self, runs: RunStore, jobs: Jobs):
        self.runs, self.settings, self.jobs = runs, runs.settings, jobs

    def choose_form(
        self, form: str, also: list[str] | None = None, run_id: str | None = None, adapter: str | None = None,
        **values: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Show the settings of a form and its button: Download writes an adapter at once, Export starts a job.

        A visitor, who can start neither, sees no settings.

        Args:
            form: The form.
            also: The adapters that are combined with the exported one.
            run_id: The chosen run.
            adapter: The chosen adapter of it.
            values: Settings that decide the size of the file.
        """
        about = FORMS[_check_form(form)]
        is_adapter, shown, is_owner = form == "adapter", shown_settings(form, also), roles.caller().is_owner
        described = self.describe(form, also, run_id, adapter, **values)
        return {
            **{name: gr.update(visible=name in shown) for name in SETTINGS},
            "settings_row": gr.update(visible=is_owner and bool(about.settings)),
            "download": gr.update(visible=is_owner and is_adapter),
            **described,
            "start": {**described.get("start", gr.update()), "visible": is_owner and not is_adapter},
            "result": "", "file": gr.update(visible=False), "about": gr.update(visible=is_adapter),
        }  # fmt: skip

    def describe(
        self, form: str, also: list[str] | None = None, run_id: str | None = None, adapter: str | None = None,
        **values: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Describe the chosen export: what it is for, how much it writes, and why it cannot be made.

        The arguments are those of `choose_form`.
        """
        about = FORMS[_check_form(form)]
        is_merged = "base" in about.settings
        text = dict.fromkeys(("problem", "written", "closed"), "")
        text |= {"label": about.label, "text": about.text, "is_merged": is_merged}
        if not roles.caller().is_owner:
            closed = f"Only the owner can export it. {CLOSED}"
            return {"form_text": "" if form == "adapter" else render("export_form", **text | {"closed": closed})}
        text["problem"], size = self._expect(run_id, adapter, _read_config(form, also=also or [], **values))
        text["written"] = about_size(self.settings, size) if run_id else ""
        kinds = len(values.get("quantization") or []) if "quantization" in about.settings else 1
        return {
            "start": gr.update(
                interactive=not text["problem"], value=f"Export {kinds} types" if kinds > 1 else "Export"
            ),
            "form_text": "" if form == "adapter" else render("export_form", **text),
        }

    def _expect(self, run_id: str | None, adapter: str | None, config: ExportConfig | None) -> tuple[str, int | None]:
        """Return why an export cannot be made, or else its bytes; nothing is known of one that is incomplete."""
        # A run that was deleted meanwhile is in the page's list until the list is read again.
        run = next((run for run in self.runs.runs() if run.id == run_id), None)
        if run is None or config is None:
            return "", None
        problem = form_problem(self.settings, run, config)
        folder = run.adapters().get(adapter or "final")
        return problem, estimate_bytes(self.settings, run, folder, config) if folder and not problem else None

    def show_combination(self, form: str, also: list[str] | None) -> dict[str, Any]:
        """Show how adapters are combined, if there are several."""
        shown = shown_settings(_check_form(form), also)
        return {name: gr.update(visible=name in shown) for name in _OF_SEVERAL}

    def start(self, run_id: str | None, adapter: str | None, form: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Write an adapter in the chosen form, with the others that `also` names as RUN=WEIGHT, and compare the file.

        Raises:
            StudioError: A setting is invalid, another export runs, or the export failed.
        """
        titles = {name: field.title or name for name, field in ExportConfig.model_fields.items()}
        # The settings of a combination are hidden, and keep their values, while there is one adapter.
        hidden = () if values.get("also") else COMBINED
        chosen = set(FORMS[_check_form(form)].settings) - set(hidden)
        used = {name: value for name, value in values.items() if name in chosen}
        if isinstance(also := used.get("also"), list):
            used["also"] = [self._by_id(text) for text in also]
        if empty := [titles[name] for name, value in used.items() if value is None]:
            raise StudioError(f"{empty[0]} is empty or no number. Type a number.")
        if used.get("quantization") == []:
            raise StudioError("GGUF type is empty. Choose at least one.")
        try:
            config = ExportConfig(form=_check_form(form), **used)
        except ValidationError as error:
            raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error
        run = self.runs.run(run_id or "")
        if running := self.jobs.running(_KIND):
            raise StudioError(
                f"{running.title} is running ({running.share:.0%} done), and two exports would slow each other down. "
                "Wait until it has ended, or press Cancel beside its progress. Then press Export again."
            )
        types = f", {len(config.quantization)} types" if len(used.get("quantization", [])) > 1 else ""
        title = f"Exporting {run.title} as {FORMS[config.form].label}{types}"
        kind = f"{_KIND}/{config.file_name(f'{run.id}-{adapter}')}"
        yield from self._follow(self.jobs.start(kind, title, export, self.settings, run.id, adapter or "final", config))

    def _by_id(self, text: Any) -> str:
        """Return a text that names a further adapter, with the run's id in place of its title, which the list shows."""
        if not isinstance(text, str):
            raise StudioError(f"Combine with lists {text!r}. Write the name of a run, or NAME=WEIGHT.")
        name, equals, weight = text.rpartition("=") if "=" in text else (text, "", "")
        ids = {title: run_id for run_id, title in self.runs.titles().items()}
        return f"{ids.get(name.strip(), name)}{equals}{weight}"

    def watch(self, job: int | None = None) -> Iterator[dict[str, Any]]:
        """Show the running export and its settings on a page that did not start it, or was reloaded while it runs.

        Args:
            job: The export that the page shows already.
        """
        running = self.jobs.running(_KIND)
        if running is not None and running.id != job:
            yield self._choose(running)
            yield from self._follow(running)

    def _choose(self, job: Job) -> dict[str, Any]:
        """Return the updates that choose the run, the adapter, the form and the settings of an export."""
        _, run_id, adapter, config = job.arguments
        values = {name: getattr(config, name) for name in OF_SIZE}
        form = self.choose_form(config.form, config.also, run_id, adapter, **values)
        settings = {name: form[name] | {"value": getattr(config, name)} for name in SETTINGS}
        chosen = {**form, **settings, "form": gr.update(value=config.form)}
        # A run that was deleted meanwhile is not in the lists; the export reports it.
        if run := next((run for run in self.runs.runs() if run.id == run_id), None):
            adapters = gr.update(choices=list(run.adapters()), value=adapter)
            chosen |= {"run": gr.update(value=run_id), "proposed": "", "adapter": adapters}
        return chosen

    def cancel(self, job: int | None) -> None:
        """Cancel an export, and remove what it has written."""
        cancel_and_clean(self.jobs, job, self.settings.exports_dir)

    def _follow(self, job: Job) -> Iterator[dict[str, Any]]:
        """Yield the updates of a job; the form is locked until it ends, because the result is shown below it."""
        yield {"result": "", "file": gr.update(visible=False), "form": gr.update(interactive=False)}
        for updates in follow(job, _show, _AFTER_CANCEL):
            yield updates | {"form": gr.update(interactive=updates.get("job") is None)}


def _check_form(form: str) -> Any:
    """Return a form; raise StudioError if there is none of that name."""
    if form not in FORMS:
        raise StudioError(f"There is no form {form!r}. Expected one of: {', '.join(FORMS)}.")
    return form


def _read_config(form: str, **values: Any) -> ExportConfig | None:
    """Return the settings that apply to a form; None if one is incomplete or invalid, as Export will say."""
    used = {name: value for name, value in values.items() if name in FORMS[_check_form(form)].settings}
    try:
        return ExportConfig(form=_check_form(form), **used)
    except ValidationError:
        return None


def about_size(settings: Settings, size: int | None) -> str:
    """Return how much an export writes and how much is free, as a sentence."""
    if size is None:
        return "How much will be written is known once the base model is on this machine."
    free = writable_bytes(settings.exports_dir, Quotas().free_gib)
    return f"About {format_size(size)} will be written; there is space for {format_size(free)}."


def _show(job: Job) -> dict[str, Any]:
    """Return the updates that show a written file."""
    done: Exported = job.result
    sentence, code = usage(done.form, done.path.stem)
    found = done.fidelity
    html = render(
        "export_result", name=done.path.name, size=format_size(done.size), folder=done.path.parent, sentence=sentence,
        code=code, notes=done.notes, fidelity=found, tone=_tone(done), card=done.card and done.card.name,
        served=done.serving,
        **_types(done),
    )  # fmt: skip
    label = f"Download {done.path.name} ({format_size(done.size)})"
    return {"result": html, "file": gr.update(value=str(done.path), label=label, visible=True)}


def _types(done: Exported) -> dict[str, Any]:
    """Return what the page shows of several types: the table, the picture and the choice; nothing for one type."""
    if not done.types:
        return {"types": []}
    smallest = type_comparison.find_smallest(done.types)
    rows = [(type_comparison.row(one), one is smallest) for one in type_comparison.by_size(done.types)]
    picture = b64encode(type_comparison.picture(done.types)).decode() if any(one.fidelity for one in done.types) else ""
    return {
        "types": rows, "head": type_comparison.HEAD, "picture": picture,
        "choice": type_comparison.describe_choice(done.types), "report": done.report,
    }  # fmt: skip


def _tone(done: Exported) -> str:
    """Return how the verdict is colored."""
    if done.fidelity is None:
        return "neutral"
    return {"same": "good", "close": "neutral", "different": "bad"}[done.fidelity.grade]


def build_settings() -> dict[str, gr.components.Component]:
    """Build the fields of the settings in the open layout, hidden as long as the form is an adapter for PEFT.

    Types of llama.cpp are offered only if llama-cpp-python is installed.
    """
    widgets = {}
    for name in SETTINGS:
        choices, options = None, {"min_width": 150, "visible": False}
        if name == "also":
            widgets[name] = gr.Dropdown(
                [], value=[], multiselect=True, allow_custom_value=True, label=ExportConfig.model_fields[name].title,
                info=COMBINE, elem_id=field_id(FORM, name), **options,
            )  # fmt: skip
            continue
        if name == "quantization" and not is_installed():
            choices = [(kind, kind) for kind in GGUF_TYPES]
            options["info"] = f"{ExportConfig.model_fields[name].description} For types of llama.cpp: {INSTALL}"
        widgets[name] = build_field(FORM, ExportConfig, name, choices, **options)
    return widgets


def shown_settings(form: Any, also: list[str] | None = None) -> set[str]:
    """Return the names of the settings that the page shows for a form.

    Args:
        form: The form.
        also: The adapters that are combined with the exported one.
    """
    hidden = (set() if is_installed() else {"importance_rows"}) | (set() if also else set(_OF_SEVERAL))
    return set(FORMS[form].settings) - hidden
