"""The numbers that matter for training, under the tokenizer and template chosen: lengths, truncation, padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.conversation import chips_html, empty_html
from components.histogram import bars_svg
from components.progress_bar import ProgressBar, build_progress_bar
from core.access import roles
from core.data import lengths, tasks
from core.data.view import Filter
from core.errors import StudioError, sentences
from core.models import catalogue, embedded
from core.runs.config import QLoRAConfig
from core.settings import Settings
from core.system.jobs import Job, Jobs
from studio.data.page_state import lens_of
from studio.handlers import info
from studio.job_progress import follow

_NEAR = Filter(column="near_duplicate_of", low=0)
_TEMPLATES = [
    ("the model's own", "auto"),
    ("Llama 2", "llama2"),
    ("ChatML", "chatml"),
    ("the model's own for tools", "tool_use"),
]


class Numbers:
    """What this part does; names no widget's layout."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def on_load(self) -> Any:
        return gr.update(choices=[(model.label, model.name) for model in catalogue.available(self.settings)])

    def look_through(self, state: dict, model: str, template: str, max_length: float, batch: float) -> dict:
        """The lens with another tokenizer, template, maximum length or batch."""
        lens = lens_of(state)
        for title, value in (("Maximum length", max_length), ("Batch size", batch)):
            if value is None:
                raise StudioError(f"{title} is empty. Give it a value.")
        try:
            bounds = QLoRAConfig(model=model or "", max_length=max_length, batch_size=batch)
        except ValidationError as error:
            raise StudioError(sentences(error, lambda name: QLoRAConfig.model_fields[name].title or name)) from error
        counted = {f.column for f in lens.view.filters} & {"tokens", "answer_tokens"}
        view = lens.view.model_copy(update={"filters": [f for f in lens.view.filters if f.column not in counted]})
        if view.sort in ("tokens", "answer_tokens"):
            view = view.model_copy(update={"sort": ""})
        return lens.model_copy(
            update={
                "model": bounds.model,
                "template": template,
                "max_length": bounds.max_length,
                "batch": bounds.batch_size,
                "view": view,
            }
        ).model_dump()

    def count(self, state: dict) -> Iterator[list[Any]]:
        """Count the tokens of every row under the chosen tokenizer and template."""
        lens = lens_of(state)
        data, reading = lens.data(self.settings), lens.read_as(self.settings)
        job = self.jobs.start(
            f"tokens/{data.id}", f"Counting tokens of {data.rows:,} rows", tasks.count_tokens, self.settings, data,
            reading, lens.tokens,
        )  # fmt: skip
        yield from follow(job, 1, lambda done: [self._seen(state)])

    def find_near(self, state: dict) -> Iterator[list[Any]]:
        """Find rows that are almost the same as an earlier one."""
        lens = lens_of(state)
        data, reading = lens.data(self.settings), lens.read_as(self.settings)
        job = self.jobs.start(
            f"near/{data.id}", f"Comparing {data.rows:,} rows", tasks.find_near, self.settings, data, reading
        )

        def ended(done: Job) -> list[Any]:
            found = lens.rows(self.settings).count(lens.view.model_copy(update={"filters": [_NEAR], "search": ""}))
            info(
                f"{found:,} rows are almost the same as an earlier one."
                if found
                else "No two rows are almost the same.",
                title="Near duplicates",
            )
            return [self._seen(state)]

        yield from follow(job, 1, ended)

    def _seen(self, state: dict) -> dict:
        lens = lens_of(state)
        return lens.model_copy(update={"counted": lens.counted + 1}).model_dump()

    def show(self, state: dict) -> str:
        lens = lens_of(state)
        if not lens.dataset:
            return empty_html("Open a data set first.")
        path = lens.counts(self.settings)
        if path is None:
            rows = lens.data(self.settings).rows
            not_counted = roles.text_for_caller(
                "Press “Count tokens” to see", "Once the owner has counted tokens you see here"
            )
            return empty_html(f"{not_counted} how long the {rows:,} rows are for {lens.model}, and which would be cut.")
        chosen = None if not lens.view.in_words() else lens.rows(self.settings).numbers(lens.view)
        found = lengths.summary(path, lens.max_length, lens.batch, chosen)
        if not found.rows:
            return empty_html("None of these rows can be trained on.")
        share, answers = found.truncated / found.rows, found.answer_tokens / found.tokens
        chips = [
            (f"{found.tokens:,}", "tokens" + (" of the rows filtered" if chosen is not None else ""), False),
            (f"{found.median:,}", f"in the middle row, {found.longest:,} in the longest", False),
            (f"{answers:.0%}", "of them in answers, the rest in prompts and marks", False),
            (f"{found.truncated:,}", f"rows cut at {lens.max_length:,} ({share:.1%})", bool(found.truncated)),
        ]
        if found.lost_tokens:
            chips.append((f"{found.lost_tokens:,}", "tokens lost by the cut", True))
        chips.append((f"{found.padding:.0%}", f"of a batch of {lens.batch} is padding without packing", False))
        if found.refused:
            chips.append((f"{found.refused:,}", "rows the template refuses: not trained on", True))
        title = f"Lengths of {found.rows:,} rows in tokens"
        return bars_svg(found.edges, found.counts, cut=lens.max_length, unit="tokens", title=title) + chips_html(chips)


@dataclass(frozen=True)
class NumbersWidgets:
    model: gr.Dropdown
    template: gr.Dropdown
    max_length: gr.Number
    batch: gr.Number
    shown: gr.HTML
    bar: ProgressBar
    count: gr.Button
    near: gr.Button


def build_numbers() -> NumbersWidgets:
    defaults = QLoRAConfig()
    with gr.Row():
        model = gr.Dropdown(
            [embedded.NAME], value=embedded.NAME, label="Tokenizer of", allow_custom_value=True, min_width=150, scale=3,
            elem_id="lens-model",
        )  # fmt: skip
        template = gr.Dropdown(
            _TEMPLATES,
            value="auto",
            label="Chat template",
            filterable=False,
            min_width=120,
            scale=2,
            elem_id="lens-template",
        )
    with gr.Row():
        max_length = gr.Number(
            defaults.max_length, precision=0, label="Maximum length", min_width=110, elem_id="lens-length"
        )
        batch = gr.Number(defaults.batch_size, precision=0, label="Batch size", min_width=110, elem_id="lens-batch")
    shown = gr.HTML(elem_id="numbers", padding=False)
    bar = build_progress_bar("counting")
    with gr.Row():
        count = gr.Button("Count tokens", variant="primary", min_width=120, elem_id="count-tokens")
        near = gr.Button("Find near duplicates", min_width=120, elem_id="find-near")
    return NumbersWidgets(model, template, max_length, batch, shown, bar, count, near)
