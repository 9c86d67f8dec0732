"""Checks of the Export tab: the model card, the verification of a run, and the check before publishing."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gradio as gr

from components.progress_bar import build_progress_bar
from core.data.listing import list_some
from core.errors import StudioError
from core.export.availability import publish_problem
from core.export.card.facts import folder_name
from core.export.card.writing import README, Subject, card_files
from core.export.config import FORMS, ExportConfig
from core.export.publish.check import PublishCheck, check_publish
from core.runs import receipt
from core.runs.adapters import adapter_folder
from core.runs.store import RunStore
from core.system.jobs import Job, Jobs
from core.train.verification import TOLERANCE, Verification
from core.train.verify import verify
from studio.html import read_static, render
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.wiring import HEAVY, UNLIMITED, connect

_KINDS = ("verify-run", "check-publish")
_BUTTONS = {"card": "Show card", "verification": "Verify run", "publish": "Check before publishing"}
_NO_RUN = "A card and checks are of a run with an adapter. Train one first."
_SHOWN_ROWS = 20
_TONES = {"equal": "good", "within tolerance": "good", "different": "bad"}


class ExportChecks:
    """Event handlers of the checks. They hold no widgets."""

    def __init__(self, runs: RunStore, jobs: Jobs):
        self.runs, self.settings, self.jobs = runs, runs.settings, jobs

    def show_card(self, run_id: str | None, adapter: str | None, form: str) -> dict[str, Any]:
        """Show the card of an adapter in a form, as its file will have it."""
        if form not in FORMS:
            raise StudioError(f"There is no form {form!r}. Expected one of: {', '.join(FORMS)}.")
        run, name = self.runs.run(run_id or ""), adapter or "final"
        adapter_folder(run, name)
        subject = Subject(self.settings, run, name, ExportConfig(form=form), folder_name(run, name))
        files = card_files(subject)
        others = [other for other in files if other != README]
        return {"checked": render("export_card", text=files[README].decode(), others=others)}

    def verify(self, run_id: str | None) -> Iterator[dict[str, Any]]:
        """Compare a run with its receipt, repeat some of its steps, and show both."""
        run = self.runs.run(run_id or "")
        job = self._start(f"{_KINDS[0]}/{run.id}", f"Verifying {run.title}", verify, run.id)
        yield from self._follow(job)

    def check(self, run_id: str | None, adapter: str | None) -> Iterator[dict[str, Any]]:
        """Search the rows of a run, measure verbatim extraction, and show what was found."""
        run, name = self.runs.run(run_id or ""), adapter or "final"
        adapter_folder(run, name)
        kind, title = f"{_KINDS[1]}/{run.id}-{name}", f"Checking {run.title}, {name}"
        yield from self._follow(self._start(kind, title, check_publish, run.id, name))

    def choose(self, run_id: str | None) -> dict[str, Any]:
        """Remove the result of another run or adapter, and offer what can be done with this one."""
        return {"checked": "", **self.offer(run_id)}

    def offer(self, run_id: str | None) -> dict[str, Any]:
        """Offer the checks that can be made of a run, and say why the others cannot."""
        run = next((run for run in self.runs.runs() if run.id == run_id), None)
        problems = {
            "card": "" if run else _NO_RUN,
            "verification": receipt.find_problem(run) if run else _NO_RUN,
            "publish": publish_problem(self.settings, run) if run else _NO_RUN,
        }
        reasons = [(_BUTTONS[name], problem) for name, problem in problems.items() if problem]
        return {
            **{name: gr.update(interactive=not problem) for name, problem in problems.items()},
            "reasons": render("export_reasons", reasons=reasons if run else [("No run is chosen", _NO_RUN)]),
        }

    def _running(self) -> Job | None:
        return next((job for kind in _KINDS if (job := self.jobs.running(kind))), None)

    def _start(self, kind: str, title: str, work: Callable[..., Any], *arguments: str) -> Job:
        """Start a job, unless another one runs: both would share the bar, and the memory."""
        other = self._running()
        if other and other.kind != kind:
            raise StudioError(f"{other.title} is under way. Wait for it to end, or cancel it.")
        return self.jobs.start(kind, title, work, self.settings, *arguments)

    def _follow(self, job: Job) -> Iterator[dict[str, Any]]:
        yield {"checked": ""}
        yield from follow(job, show_result)


def show_result(job: Job) -> dict[str, Any]:
    """Return the update that shows the result of a job."""
    return {"checked": result_html(job.result)}


def result_html(result: Verification | PublishCheck) -> str:
    """Return the result of a job as HTML."""
    if isinstance(result, Verification):
        tone = _TONES.get(result.outcome, "neutral")
        return render("export_verification", found=result, tone=tone, tolerance=f"{TOLERANCE:.1%}")
    repeated = result.extraction.more_than_base if result.extraction else []
    return render(
        "export_publish", found=result, tone="good" if result.is_clean else "bad", sentences=result.describe(),
        listed=result.findings.listed[:_SHOWN_ROWS], total=sum(result.findings.counts.values()),
        repeated=list_some([f"{row:,}" for row in repeated], _SHOWN_ROWS),
    )  # fmt: skip


def build_export_checks(
    runs: RunStore, bars: JobBars, run: gr.Dropdown, adapter: gr.Dropdown, form: gr.Dropdown
) -> None:
    """Build the checks in the open layout.

    Args:
        runs: All runs.
        bars: Progress bars of all jobs.
        run: The list of runs.
        adapter: The list of a run's adapters.
        form: The form of the export.
    """
    with gr.Accordion(
        "Before you publish: card, verification, personal data", open=False, elem_id="export-checks",
        elem_classes="qs-quiet",
    ) as box:  # fmt: skip
        gr.HTML(render("export_checks"), padding=False)
        with gr.Row(elem_id="export-check-buttons"):
            card = gr.Button(_BUTTONS["card"], elem_id="export-card")
            verification = gr.Button(_BUTTONS["verification"], elem_id="export-verify")
            publish = gr.Button(_BUTTONS["publish"], elem_id="export-check-publish")
        reasons = gr.HTML(elem_id="export-check-reasons", padding=False)
        bar = build_progress_bar("export-check-progress")
        checked = gr.HTML(elem_id="export-checked", padding=False, js_on_load=read_static("copy_code.js"))
    do, shown = ExportChecks(runs, bars.jobs), {"checked": checked}
    chosen = {"run_id": run, "adapter": adapter}
    connect(card.click, do.show_card, {**chosen, "form": form}, shown, api_name="model_card", **HEAVY)
    followed = bars.add(bar, *_KINDS, shown=shown, finish=show_result, box=box).outputs
    options: dict[str, Any] = {"show_progress": "hidden"}
    connect(verification.click, do.verify, {"run_id": run}, followed, api_name="verify_run", **options)
    connect(publish.click, do.check, chosen, followed, api_name="check_publish", **options)
    offered = {"card": card, "verification": verification, "publish": publish, "reasons": reasons}
    connect(partial(gr.on, [run.change, adapter.change]), do.choose, {"run_id": run}, shown | offered, **UNLIMITED)
    # A run may have ended meanwhile, and a subset been deleted.
    connect(box.expand, do.offer, {"run_id": run}, offered, **UNLIMITED)
