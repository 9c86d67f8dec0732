"""The Train tab: set the knobs, start a run, watch it. The page only reads the run's files."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.curve_plot import build_curve_plot, curve_frame
from components.model_form import build_fields
from core.data import subset
from core.errors import StudioError, sentences
from core.models import catalogue
from core.runs import events as event_files
from core.runs import process
from core.runs.config import TITLES, QLoRAConfig, group_of
from core.runs.presets import PRESETS, QUICK_DEMO
from core.runs.progress import Progress, curve, duration, progress
from core.runs.store import ACTIVE, Run, RunState, RunStore
from studio.look import COLOURS
from studio.told import info, told

# What stands open above the groups; everything else is a group away.
FIRST_FIELDS = ["model", "subset"]
NO_RUN = "No run yet. Choose the preset “Quick demo” and press Start: it takes about two minutes on two CPU cores."


@dataclass(frozen=True)
class TrainTab:
    """What studio/app.py may link to."""

    run: gr.Dropdown
    subset: gr.Dropdown
    seen: gr.State  # changes whenever the watched run's files do


class TrainActions:
    """What the tab does; names no widget's layout."""

    def __init__(self, runs: RunStore):
        self.runs = runs

    def run_choices(self) -> list[tuple[str, str]]:
        return [(run.id, run.id) for run in self.runs.runs()]

    def subset_choices(self) -> list[tuple[str, str]]:
        found = reversed(subset.subsets(self.runs.settings))
        return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in found]

    def on_load(self) -> tuple[Any, Any, Any]:
        choices = self.run_choices()
        models = [(m.label, m.name) for m in catalogue.available(self.runs.settings)]
        return (
            gr.update(choices=choices, value=choices[0][1] if choices else None),
            gr.update(choices=self.subset_choices()),
            gr.update(choices=models),
        )

    def preset(self, name: str) -> list[Any]:
        """The reason of a preset, then every field's value in the model's order."""
        chosen = PRESETS[name]
        values = chosen.config().model_dump() | {"subset": gr.skip()}  # which rows is not a preset's to say
        return [chosen.reason, *values.values()]

    def start(self, **values: Any) -> Iterator[Any]:
        """Start a run, and show it; when another is active, show that one and say why not."""
        config = _config(values)
        if active := self.runs.active():
            yield gr.update(choices=self.run_choices(), value=active.id)
        run = process.start(self.runs, config)
        info("Its curve appears on this page and goes on when the page is closed.", title=f"Started {run.id}")
        yield gr.update(choices=self.run_choices(), value=run.id)

    def stop(self, run_id: str | None) -> None:
        self.runs.run(run_id or "").request_stop()
        info("It writes a checkpoint and an adapter after the present step.", title="Stopping")

    def listed(self) -> str:
        """Cheap to ask every second, different whenever there is another run."""
        return self.runs.listed()

    def list_again(self, run_id: str | None) -> Any:
        """The runs there are now; the one that is watched stays so, the newest is shown where there was none."""
        choices = self.run_choices()
        known = [name for _, name in choices]
        return gr.update(choices=choices, value=run_id if run_id in known else (known[0] if known else None))

    def fingerprint(self, run_id: str | None) -> str:
        """Cheap to ask every second, different whenever there is something new to draw."""
        if not run_id:
            return ""
        run = self.runs.run(run_id)
        return f"{run_id} {event_files.size(run.events_file)} {run.state().status}"

    def watch(self, run_id: str | None) -> tuple[Any, ...]:
        """Status, tiles, whether there are curves, three of them, notes, and whether Stop can be pressed."""
        if not run_id:
            empty = curve_frame([])
            return _empty_status(), "", gr.update(visible=False), empty, empty, empty, "", gr.update(interactive=False)
        run = self.runs.run(run_id)
        state, events = run.state(), run.events()
        now = progress(events)
        losses = [(s, v, "loss") for s, v in curve(events, "step", "loss")]
        losses += [(s, v, "held-out loss") for s, v in curve(events, "eval", "loss")]
        rates = [(s, v, "value") for s, v in curve(events, "step", "learning_rate")]
        speeds = [(s, v, "value") for s, v in curve(events, "step", "tokens_per_second")]
        return (
            status_html(run, state, now),
            tiles_html(now),
            # Gradio's plot takes colours and margins from the first data it draws: an empty one stays blank for good
            gr.update(visible=now.step > 0),
            curve_frame(losses),
            curve_frame(rates),
            curve_frame(speeds),
            notes_html(run, now),
            gr.update(interactive=state.status in ("starting", "running")),
        )


def _config(values: dict[str, Any]) -> QLoRAConfig:
    """The form as a configuration. Raises StudioError that names every field with its group: it may be folded away."""
    told_as = {name: f"{TITLES[name]} (under {group_of(name)})" for name in values if name in TITLES}
    if empty := [told_as[name] for name, value in values.items() if value is None or value == ""]:
        raise StudioError("\n".join(f"{name} is empty. Give it a value, or choose the preset again." for name in empty))
    try:
        return QLoRAConfig(**values)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: told_as.get(name, name))) from error


def _empty_status() -> str:
    return f'<div class="qs-empty">{NO_RUN}</div>'


def status_html(run: Run, state: RunState, now: Progress) -> str:
    """Badge, progress bar with the time left, and the cause where something went wrong."""
    words = f"step {now.step} of {now.total}" if now.total else now.stage or "starting the worker"
    if state.status in ACTIVE and now.seconds_left is not None:
        words += f", about {duration(now.seconds_left)} left"
    elif state.status in ACTIVE and now.total:
        words += ": measuring the base model first"
    elif state.ended:
        words += f", {duration(state.ended - state.created)} in all"
    cause = (
        f'<div class="qs-cause">{html.escape(state.cause)}</div>' if state.cause and state.status != "stopped" else ""
    )
    return (
        f'<div class="qs-status"><span class="qs-badge {state.status}">{state.status}</span>'
        f"<span>{html.escape(words)}</span>"
        f'<div class="qs-bar" role="progressbar" aria-valuenow="{now.share:.0%}" aria-label="progress">'
        f'<i style="width:{now.share:.1%}"></i></div>{cause}</div>'
    )


def _figure(value: float | str | None, form: str) -> str:
    if value is None:
        return "–"
    return html.escape(value) if isinstance(value, str) else format(value, form)


def tiles_html(now: Progress) -> str:
    change = ""
    if isinstance(now.base_loss, float) and isinstance(now.held_out_loss, float) and now.held_out_loss != now.base_loss:
        change = f" ({now.held_out_loss / now.base_loss - 1:+.0%} against base)"
    tiles = [
        (_figure(now.loss, ".3f"), "loss"),
        (_figure(now.held_out_loss, ".3f"), f"held-out loss{change}"),
        (_figure(now.learning_rate, ".2e"), "learning rate"),
        (_figure(now.tokens_per_second, ",.0f"), "tokens/s"),
        (f"{now.step} / {now.total}" if now.total else "–", "step"),
    ]
    parts = (f'<div class="qs-tile"><b>{value}</b><small>{label}</small></div>' for value, label in tiles)
    return f'<div class="qs-tiles">{"".join(parts)}</div>'


def notes_html(run: Run, now: Progress) -> str:
    """What the run trains on and what was decided for it, each with its reason."""
    trained_on = run.subset()
    lines = [trained_on.in_words()] if trained_on else []
    told = now.prepared
    if told:
        lines.append(
            f"{told['rows']:,} rows, {told['tokens']:,} tokens a pass, {told['answer_tokens']:,} of them learned; "
            f"{told['trainable']:,} adapter weights; {told['template']}."
        )
        if told["truncated"]:
            lines.append(f"{told['truncated']:,} rows are longer than the maximum length and were cut.")
        lines += [f"{count:,} rows left out: {reason}." for reason, count in told["left_out"].items()]
        lines += told["choices"]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<div class="qs-note"><b>{html.escape(run.id)}</b><ul>{items}</ul></div>'


def build_train_tab(runs: RunStore, demo: gr.Blocks) -> TrainTab:
    do = TrainActions(runs)
    seen = gr.State("")
    with gr.Row(elem_id="train-row"):
        with gr.Column(scale=2, min_width=320):
            preset, reason, fields, start, stop = _build_form(do)
        with gr.Column(scale=4, min_width=340):
            run = gr.Dropdown(label="Run", allow_custom_value=True, elem_id="run")
            status = gr.HTML(_empty_status(), elem_id="run-status", padding=False)
            tiles = gr.HTML(elem_id="run-tiles", padding=False)
            with gr.Column(visible=False) as curves:
                losses = build_curve_plot("loss", COLOURS, 330, "loss-curve")
                with gr.Row():
                    rates = build_curve_plot("learning rate", COLOURS, 190, "rate-curve")
                    speeds = build_curve_plot("tokens/s", COLOURS, 190, "speed-curve")
            notes = gr.HTML(elem_id="run-notes", padding=False)

    in_order = [fields[name] for name in QLoRAConfig.model_fields]
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    watched = [status, tiles, curves, losses, rates, speeds, notes, stop]
    demo.load(told(do.on_load), None, [run, fields["subset"], fields["model"]], **quiet)
    preset.change(told(do.preset), preset, [reason, *in_order], **quiet)
    start.click(
        told(do.start), inputs_kwargs=fields, outputs=run, api_name="start",
    )  # fmt: skip
    stop.click(told(do.stop), run, None, api_name="stop", concurrency_limit=None)
    run.change(told(do.fingerprint), run, seen, **quiet)
    listed = gr.State("")
    listed.change(told(do.list_again), run, run, **quiet)
    # Every redraw takes time from a run on the same cores: two seconds are live enough.
    clock = gr.Timer(2)
    clock.tick(told(do.fingerprint), run, seen, **quiet)
    clock.tick(told(do.listed), None, listed, **quiet)
    seen.change(told(do.watch), run, watched, **quiet)
    return TrainTab(run, fields["subset"], seen)


def _build_form(
    do: TrainActions,
) -> tuple[gr.Dropdown, gr.Markdown, dict[str, gr.components.Component], gr.Button, gr.Button]:
    """Preset, its reason, every field of QLoRAConfig (the first ones open, the others in their groups), the buttons."""
    preset = gr.Dropdown(list(PRESETS), value=QUICK_DEMO.name, label="Preset", filterable=False, elem_id="preset")
    reason = gr.Markdown(QUICK_DEMO.reason, elem_classes="qs-note")
    models = [(m.label, m.name) for m in catalogue.available(do.runs.settings)]
    fields = build_fields(QLoRAConfig, FIRST_FIELDS, {"model": models, "subset": do.subset_choices()})
    with gr.Row():
        start = gr.Button("Start", variant="primary", elem_id="start", min_width=100)
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", min_width=100)
    groups: dict[str, list[str]] = {}
    for name in QLoRAConfig.model_fields:
        if name not in FIRST_FIELDS:
            groups.setdefault(group_of(name), []).append(name)
    with gr.Column(elem_id="train-groups"):
        for group, names in groups.items():
            with gr.Accordion(group, open=False):
                fields |= build_fields(QLoRAConfig, names)
    for name, value in QUICK_DEMO.config().model_dump().items():
        fields[name].value = value
    return preset, reason, fields, start, stop
