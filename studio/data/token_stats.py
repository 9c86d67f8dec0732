"""Token statistics of a dataset under the chosen tokenizer and template: lengths, truncation, padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.conversation import chips_html, empty_html
from components.histogram import histogram_svg
from components.progress_bar import ProgressBar, build_progress_bar
from core.access import roles
from core.data import lengths, tasks
from core.data.lengths import LengthSummary
from core.data.view import Filter
from core.errors import StudioError, sentences
from core.models import catalogue, embedded
from core.runs.config import QLoRAConfig
from core.settings import Settings
from core.system.counting import counted, noun_for
from core.system.jobs import Job, Jobs
from studio.data.page_state import PageState, State, parse_state
from studio.handlers import info
from studio.job_progress import follow

TOKENS, NEAR = "tokens", "near"
_NEAR_DUPLICATES = Filter(column="near_duplicate_of", low=0)
_TEMPLATES = [
    ("the model's own", "auto"),
    ("Llama 2", "llama2"),
    ("ChatML", "chatml"),
    ("the model's own for tools", "tool_use"),
]


class TokenStats:
    """Event handlers of the token statistics. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    def on_load(self) -> dict[str, Any]:
        """List the models whose tokenizers can count."""
        models = catalogue.available(self.settings)
        return {"model": gr.update(choices=[(model.label, model.name) for model in models])}

    def choose_tokenizer(
        self, state: State, model: str, template: str, max_length: float, batch: float
    ) -> dict[str, Any]:
        """Show the dataset under another tokenizer, template, maximum length or batch size."""
        page = parse_state(state)
        for title, value in (("Maximum length", max_length), ("Batch size", batch)):
            if value is None:
                raise StudioError(f"{title} is empty. Enter a number.")
        try:
            # The bounds are those of training, so that no statistics describe a run that cannot be started.
            config = QLoRAConfig(model=model or "", max_length=max_length, batch_size=batch)
        except ValidationError as error:
            raise StudioError(sentences(error, lambda name: QLoRAConfig.model_fields[name].title or name)) from error
        # Filters and order on token counts refer to the former tokenizer.
        view = page.view.without_columns(lengths.COUNTED_COLUMNS)
        return {
            "state": page.replace(
                model=config.model, template=template, max_length=config.max_length, batch=config.batch_size, view=view
            )
        }

    def count(self, state: State) -> Iterator[dict[str, Any]]:
        """Count the tokens of every row under the chosen tokenizer and template."""
        page = parse_state(state)
        data, reading = page.find_dataset(self.settings), page.effective_reading(self.settings)
        title = f"Counting tokens of {counted(data.rows, 'row')}"
        job = self.jobs.start(
            f"{TOKENS}/{data.id}", title, tasks.count_tokens, self.settings, data, reading, page.tokens
        )
        yield from follow(job, lambda done: _with_new_counts(page))

    def take_counts(self, state: State, ended: int | None) -> dict[str, Any]:
        """Return the update of a page whose dataset a job of another page has counted or compared."""
        page, job = parse_state(state), self.jobs.find(ended)
        return _with_new_counts(page) if job and job.arguments[1].id == page.dataset else {}

    def find_near_duplicates(self, state: State) -> Iterator[dict[str, Any]]:
        """Find rows that are almost the same as an earlier one."""
        page = parse_state(state)
        data, reading = page.find_dataset(self.settings), page.effective_reading(self.settings)
        title = f"Comparing {counted(data.rows, 'row')}"
        job = self.jobs.start(f"{NEAR}/{data.id}", title, tasks.find_near_duplicates, self.settings, data, reading)

        def finish(done: Job) -> dict[str, Any]:
            view = page.view.model_copy(update={"filters": [_NEAR_DUPLICATES], "search": ""})
            found = page.open_rows(self.settings).count(view)
            text = (
                f"{counted(found, 'row is', 'rows are')} almost the same as an earlier one."
                if found
                else "No two rows are almost the same."
            )
            info(text, title="Near duplicates")
            return _with_new_counts(page)

        yield from follow(job, finish)

    def show(self, state: State) -> dict[str, Any]:
        """Show the statistics of the rows that the filters leave, or what has to be done first."""
        return {"token_stats": self._stats_html(parse_state(state))}

    def _stats_html(self, page: PageState) -> str:
        if not page.dataset:
            return empty_html("Open a dataset first.")
        path = page.token_counts_file(self.settings)
        if path is None:
            rows = counted(page.find_dataset(self.settings).rows, "row is", "rows are")
            start = roles.text_for_caller(
                "Press “Count tokens” to see", "Once the owner has counted the tokens, this shows"
            )
            return empty_html(f"{start} how long the {rows} for {page.model}, and what is truncated.")
        # None stands for all rows, which saves a query.
        chosen = page.open_rows(self.settings).row_numbers(page.view) if page.view.describe() else None
        found = lengths.summarize(path, page.max_length, page.batch, chosen)
        if not found.rows:
            return empty_html("None of these rows can be trained on.")
        title = f"Lengths of {counted(found.rows, 'row')} in tokens"
        histogram = histogram_svg(
            found.edges, found.counts, limit=page.max_length, unit="tokens", title=title,
            is_open=found.longest > found.edges[-1],
        )  # fmt: skip
        return "".join((histogram, chips_html(_stats_chips(page, found, is_filtered=chosen is not None))))


def _with_new_counts(page: PageState) -> dict[str, Any]:
    """Return the update that makes the page read the counts that a job has written."""
    return {"state": page.replace(counted=page.counted + 1)}


def _stats_chips(page: PageState, found: LengthSummary, is_filtered: bool) -> list[tuple[str, str, bool]]:
    truncated_share, answer_share = found.truncated / found.rows, found.answer_tokens / found.tokens
    chips = [
        (
            f"{found.tokens:,}",
            noun_for(found.tokens, "token") + (" in the filtered rows" if is_filtered else ""),
            False,
        ),
        (f"{found.median:,}", f"in the median row, {found.longest:,} in the longest", False),
        (f"{answer_share:.0%}", "of the tokens are in answers, the rest in prompts and special tokens", False),
        (
            f"{found.truncated:,}",
            f"{noun_for(found.truncated, 'row')} truncated at {page.max_length:,} ({truncated_share:.1%})",
            bool(found.truncated),
        ),
    ]
    if found.lost_tokens:
        chips.append((f"{found.lost_tokens:,}", f"{noun_for(found.lost_tokens, 'token')} lost by truncation", True))
    chips.append((f"{found.padding:.0%}", f"of a batch of {page.batch} is padding without packing", False))
    if found.refused:
        chips.append(
            (f"{found.refused:,}", f"{noun_for(found.refused, 'row')} that the template refuses: not trained on", True)
        )
    return chips


@dataclass(frozen=True)
class TokenStatsWidgets:
    """Widgets of the token statistics."""

    model: gr.Dropdown
    template: gr.Dropdown
    max_length: gr.Number
    batch: gr.Number
    shown: gr.HTML
    bar: ProgressBar
    count: gr.Button
    find_near: gr.Button


def build_token_stats() -> TokenStatsWidgets:
    """Build the widgets in the open layout."""
    defaults = QLoRAConfig()
    with gr.Row(elem_classes="qs-even"):
        model = gr.Dropdown(
            [embedded.NAME], value=embedded.NAME, label="Tokenizer", allow_custom_value=True, min_width=150, scale=3,
            elem_id="stats-model",
        )  # fmt: skip
        template = gr.Dropdown(
            _TEMPLATES, value="auto", label="Chat template", filterable=False, min_width=120, scale=2,
            elem_id="stats-template",
        )  # fmt: skip
    with gr.Row(elem_classes="qs-even"):
        max_length = gr.Number(
            defaults.max_length, precision=0, label="Maximum length", min_width=110, elem_id="stats-length"
        )
        batch = gr.Number(defaults.batch_size, precision=0, label="Batch size", min_width=110, elem_id="stats-batch")
    shown = gr.HTML(elem_id="numbers", padding=False)
    bar = build_progress_bar("counting")
    with gr.Row(elem_id="count-row"):
        count = gr.Button("Count tokens", min_width=120, elem_id="count-tokens")
        find_near = gr.Button("Find near duplicates", min_width=120, elem_id="find-near")
    return TokenStatsWidgets(model, template, max_length, batch, shown, bar, count, find_near)
