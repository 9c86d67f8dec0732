"""Rows that a training step was trained on: list them, read one, create a subset without it."""

from typing import Any

import gradio as gr

from components.conversation import chips_html, conversation_html, empty_html, tokens_html
from core.data import subset
from core.data.tokens import Renderer, TemplateError
from core.errors import StudioError
from core.models import catalogue
from core.runs.event_index import EventIndexes
from core.runs.store import RunStore
from core.settings import MAX_SLUG
from core.system.counting import counted
from studio.handlers import info
from studio.train.run_html import format_number

NO_STEP = "Click a point of the loss curve to read the rows of that step."
# Characters of a subset's name that the name of a copy keeps if a list of its excluded rows would be too long.
_MAX_STEM = 36


class StepRows:
    """Event handlers of the rows of a step."""

    def __init__(self, runs: RunStore):
        self.runs, self.events = runs, EventIndexes()

    def list_rows(self, run_id: str | None, step: int) -> dict[str, Any]:
        """Return the rows that a step was trained on, to choose from."""
        none = gr.update(choices=[], value=None)
        if not run_id:
            return {"row": none, "step": ""}
        found = self.events.of(self.runs.run(run_id).events_file).step(int(step))
        if found is None:
            return {"row": none, "step": empty_html(f"This run has no step {step}.")}
        rows = found.rows
        # A row may occur twice in a step.
        choices = [(f"row {row:,}", row) for row in dict.fromkeys(rows)]
        loss = format_number(found.loss, ".4f")
        facts = [(f"Step {step}", f"trained on {counted(len(rows), 'row')}, loss {loss}", False)]
        first = choices[0][1] if choices else None
        return {"row": gr.update(choices=choices, value=first, visible=True), "step": chips_html(facts)}

    def render_row(self, run_id: str | None, row: int | None, as_tokens: bool) -> dict[str, str]:
        """Return one row of the run's subset.

        Args:
            run_id: The selected run.
            row: The row's number in its dataset.
            as_tokens: Whether it is shown as the trainer's tokens instead of as a conversation.
        """
        if not run_id or row is None:
            return {"row_view": ""}
        config, settings = self.runs.run(run_id).config(), self.runs.settings
        messages = next((m for _, number, m in subset.stream(settings, config.subset) if number == row), None)
        if messages is None:
            return {"row_view": empty_html(f"Row {row} is no longer in the subset {config.subset!r}.")}
        if not as_tokens:
            return {"row_view": conversation_html(messages)}
        # Imported here, because transformers takes seconds to import and only this view of a row needs it.
        from core.models.loading import load_tokenizer

        tokenizer = load_tokenizer(catalogue.find(settings, config.model, config.revision))
        try:
            rendered = Renderer(tokenizer, config.chat_template).render(messages, all_text=not config.answers_only)
        except TemplateError as error:
            return {"row_view": chips_html([("⚠", f"Not trained on: {error}", True)])}
        tokens = [
            # A negative label carries no loss.
            (rendered.text[start:end], role, label >= 0)
            for (start, end), role, label in zip(rendered.offsets, rendered.roles, rendered.labels, strict=True)
        ]
        notes = chips_html([("⚠", note, True) for note in rendered.notes]) if rendered.notes else ""
        return {"row_view": "".join([notes, tokens_html(tokens, config.max_length)])}

    def exclude_row(self, run_id: str | None, row: int | None) -> dict[str, str]:
        """Create a copy of the run's subset without one row, for the next run."""
        if not run_id or row is None:
            raise StudioError("No row is selected. Click a point of the loss curve first.")
        original = subset.find(self.runs.settings, self.runs.run(run_id).config().subset)
        excluded = sorted({*original.recipe.excluded, int(row)})
        recipe = original.recipe.model_copy(update={"excluded": excluded})
        # Excluding a second row must not append to the first one's suffix.
        stem = original.name.rpartition("-without-")[0] if original.recipe.excluded else original.name
        name = f"{stem or original.name}-without-{'-'.join(map(str, excluded))}"
        if len(name) > MAX_SLUG:
            name = f"{(stem or original.name)[:_MAX_STEM]}-without-{len(excluded)}-rows"
        name = subset.free_name(self.runs.settings, name, recipe)
        name = subset.create(self.runs.settings, name, recipe).name
        info("The form uses it for the next run.", title=f"Created subset {name}")
        return {"new_subset": name}
