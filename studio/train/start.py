"""Start of a run: the checks, their findings, and the time that the run will take.

Start checks the settings on the server. A problem stops it, and so does a warning until it is accepted: both are shown
in a card at the button. Accepted warnings are stored with the run (`RunState.warnings`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.field_errors import field_errors
from core.errors import StudioError
from core.runs import process
from core.runs.config import TITLES
from core.runs.findings import Finding, FindingsError
from core.runs.progress import RunProgress, duration
from core.runs.store import RunStore
from core.runs.time_estimate import Estimate, TimeEstimates
from core.system.counting import noun_for
from studio.handlers import ShownError, info
from studio.html import render
from studio.stages import follow_stages
from studio.train.controls import RunControls
from studio.train.duplicate import parent_of
from studio.train.marking import FORM, mark, parse_config, still_invalid
from studio.train.run_html import status_html

UNKNOWN_TIME = "The time is unknown, because no comparable run has ended on this machine yet. Dry run measures it."
# While a run trains, a dry run would measure both.
UNKNOWN_YET = (
    "The time is unknown, because no comparable run has ended on this machine yet. Dry run can measure it when the run "
    "that trains now has ended."
)

# Outputs that show the stages of a start: at the button, and where the run will be.
_STAGES = {"stage": "", "starting": "Starting. "}
# A press of Start so soon after the previous start has ended is a double click: its result was not shown yet.
_DOUBLE_CLICK_SECONDS = 3
# A longer run gets a hint how to shorten it.
_LONG_SECONDS = 30 * 60
_NO_STAGE = dict.fromkeys(_STAGES, "")


@dataclass(frozen=True)
class Refusal:
    """A start that its findings stopped.

    Attributes:
        values: The form's values of that start.
        level: Level of the findings below.
        at_fields: Text of a finding, by the field that it is about: problems only, or warnings if there is no problem.
    """

    values: dict[str, Any]
    level: str
    at_fields: dict[str, str]


@dataclass(frozen=True)
class LastStart:
    """The last run that a page has started: the form's values, its title, and the time by the monotonic clock."""

    values: dict[str, Any]
    title: str
    at: float


class Starter:
    """Event handlers of the Start button and of what is shown beside it."""

    def __init__(self, runs: RunStore, controls: RunControls, estimates: TimeEstimates):
        self.runs, self.controls, self.estimates = runs, controls, estimates

    def start(
        self, with_archived: bool, accept_warnings: bool, parent: dict[str, Any] | None = None,
        last: LastStart | None = None, **values: Any,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Check a run, queue it and select it; it starts at once if no other run is before it.

        Warnings stop it unless `accept_warnings` is set; they are then stored with the run.

        Args:
            with_archived: Whether archived runs are listed.
            accept_warnings: Whether it starts in spite of warnings.
            parent: A `Parent` as JSON.
            last: The last start of this page; the same one again shortly after is a double click.
            **values: The form's values.
        """
        config = parse_config(values)
        _refuse_double_click(last, values)
        yield {**_hide_card(), **mark({}), "checked": gr.update(visible=False)}
        try:
            run = yield from follow_stages(
                _STAGES,
                lambda on_stage: process.submit(self.runs, config, bool(accept_warnings), on_stage, parent_of(parent)),
                "Checking the settings",
            )
        except FindingsError as error:
            yield {**_show_card(error, values), **_NO_STAGE}
            raise ShownError(str(error)) from error
        except StudioError:
            yield _NO_STAGE
            raise
        if run.state().status == "queued":
            info("It starts when the runs before it have ended.", title=f"Queued {run.title}")
        else:
            info("It continues when this page is closed.", title=f"Started {run.title}")
        # The rest of the run's view follows when the list has changed, which takes another call.
        status = {"status": status_html(run, run.state(), RunProgress()), "sent": {}}
        shown = {"run": gr.update(choices=self.controls.choices(with_archived), value=run.id), **status, **_NO_STAGE}
        yield {**shown, "last": LastStart(values, run.title, time.monotonic())}

    def start_anyway(self, with_archived: bool, **values: Any) -> Iterator[dict[str, Any]]:
        """Start a run in spite of its warnings."""
        yield from self.start(with_archived, True, **values)

    def change_settings(self, refusal: Refusal | None) -> dict[str, Any]:
        """Close the card, and go to the first setting that its findings are about."""
        if refusal is None or not refusal.at_fields:
            return _hide_card()
        return {**_hide_card(), "field_errors": field_errors(FORM, refusal.at_fields, refusal.level)}

    def update(self, refusal: Refusal | None, marked: dict[str, str], **values: Any) -> dict[str, Any]:
        """Return what depends on the present settings: the time, and which marks and findings still hold.

        Args:
            refusal: The start whose findings are shown.
            marked: Sentences of the fields that are marked as invalid.
            **values: The form's values.
        """
        result = {"time": self.describe_time(values)}
        if refusal is not None and refusal.values != values:
            result |= _hide_card()
        if marked and (still := still_invalid(marked, values)) != marked:
            result |= {"field_errors": field_errors(FORM, still, focus=False), "marked": still}
        return result

    def describe_time(self, values: dict[str, Any]) -> str:
        """Return the estimated time as HTML; empty while the settings are invalid."""
        try:
            config = parse_config(values)
            estimate = self.estimates.estimate(config)
        except StudioError:
            # Start reports what is wrong with the settings or the subset.
            return ""
        unknown = UNKNOWN_YET if estimate is None and self.runs.active() else UNKNOWN_TIME
        return time_html(estimate, bool(config.questions), unknown)


def time_html(estimate: Estimate | None, has_samples: bool = False, unknown: str = UNKNOWN_TIME) -> str:
    """Return a run's time and what it is derived from.

    Args:
        estimate: None if nothing was measured.
        has_samples: Whether the run also answers sample prompts, whose time is not known.
        unknown: Shown if nothing was measured.
    """
    if estimate is None:
        return render("train/start_time", time="", source=unknown)
    differs = f" ({', '.join(estimate.differs)})" if estimate.differs else ""
    source = (estimate.speed.title if estimate.speed.run else "the dry run") + differs
    more = ", without the sample answers" if has_samples else ""
    shorten = f" Lower “{TITLES['max_steps']}” to shorten it." if estimate.seconds > _LONG_SECONDS else ""
    source = f"on this machine, measured on {source}{more}.{shorten}"
    return render("train/start_time", time=about(estimate.seconds), source=source)


def about(seconds: float) -> str:
    """Return a duration without false precision: "40 s", "3 min", "2 h 05 min"."""
    if seconds < 60:
        return duration(max(10, round(seconds, -1)))
    return f"{round(seconds / 60)} min" if seconds < 3600 else duration(seconds)


def _refuse_double_click(last: LastStart | None, values: dict[str, Any]) -> None:
    if last and last.values == values and time.monotonic() - last.at < _DOUBLE_CLICK_SECONDS:
        raise StudioError(
            f"{last.title} was started a moment ago with the same settings, so no second run was started. To train it "
            f"twice, press Start again after {_DOUBLE_CLICK_SECONDS} s."
        )


def _hide_card() -> dict[str, Any]:
    return {"card": gr.update(visible=False), "refusal": None}


def _show_card(error: FindingsError, values: dict[str, Any]) -> dict[str, Any]:
    """Return updates that show what stopped a start, and mark the settings that are a problem."""
    found = [finding for finding in error.findings if finding.level != "fine"]
    problems, warnings = (_at_fields(found, level) for level in ("problem", "warning"))
    if error.has_problems:
        title = "Not started: the run would fail"
    else:
        title = f"Not started yet: accept the {noun_for(len(found), 'warning')}, or change the settings"
    refusal = Refusal(values, "problem", problems) if problems else Refusal(values, "warning", warnings)
    # Warnings are marked once the settings are to be changed.
    marks = {"field_errors": field_errors(FORM, problems)} if problems else {}
    return {
        "card": gr.update(visible=True),
        "card_findings": render("train/start_card", title=title, findings=found),
        "anyway": gr.update(visible=not error.has_problems),
        "refusal": refusal,
        **marks,
    }


def _at_fields(findings: list[Finding], level: str) -> dict[str, str]:
    """Return the first finding of a level about each field, in the order of the form."""
    about = [finding for finding in findings if finding.fields and finding.level == level]
    texts = {finding.fields[0]: finding.text for finding in reversed(about)}
    return {name: texts[name] for name in TITLES if name in texts}
