"""One row of a dataset as a conversation, as tokens with their loss mask, or as raw text."""

from typing import Any

from components.conversation import chips_html, conversation_html, empty_html, raw_html, tokens_html
from core.data.tokens import Renderer, TemplateError
from core.models import catalogue
from core.settings import Settings
from core.system.counting import noun_for
from studio.data.page_state import PageState, State, parse_state
from studio.data.reading_widgets import FORM_ID, TARGETS
from studio.data.row_changes import RowChanges
from studio.data.summary import Chip, note_chips

VIEWS = ["Conversation", "Tokens", "Raw"]
NO_ROW = "Click a row to read it as a conversation."


def row_html(settings: Settings, state: State, opened: int | None, view: str, changes: RowChanges | None = None) -> str:
    """Return the HTML of the opened row, with its turns as they were edited; raw text is that of the source.

    Args:
        settings: The studio's settings.
        state: The page's state.
        opened: The row's number; None while no row is open.
        view: One of VIEWS.
        changes: Changes of the dataset's rows; None: none.
    """
    changes = changes or RowChanges()
    page = parse_state(state)
    if not page.dataset or opened is None:
        return empty_html(NO_ROW)
    row = page.open_rows(settings).row(opened)
    # The rows of a file are of one split, whose name says nothing.
    split = f"{row['split']}, " if len(page.find_dataset(settings).splits) > 1 else ""
    chips: list[Chip] = [("", f"{split}line {row['line']:,}", False), *note_chips(row["notes"])]
    if opened in changes.excluded:
        chips.append(("Excluded", "from the next subset", True))
    if opened in changes.edited:
        chips.append(("Edited", "for the next subset", False))
    messages = changes.edited.get(opened, row["messages"])
    if view == "Raw":
        return _joined(chips_html(chips, TARGETS, FORM_ID), raw_html(row["raw"], page.view.search))
    if row["problem"]:
        # A row without a conversation has nothing else to show.
        chips.append(("⚠", f"Cannot be used: {row['problem']}", True))
        return _joined(chips_html(chips, TARGETS, FORM_ID), raw_html(row["raw"], page.view.search))
    if view == "Tokens":
        return tokens_view_html(settings, page, messages, chips)
    return _joined(chips_html(chips, TARGETS, FORM_ID), conversation_html(messages, page.view.search))


def tokens_view_html(settings: Settings, page: PageState, messages: list[dict[str, Any]], chips: list[Chip]) -> str:
    """Return the tokens of a conversation as the trainer sees them, those that carry loss colored.

    Args:
        settings: The studio's settings.
        page: Its tokenizer, template and maximum length apply.
        messages: The conversation, with `role` and `content`.
        chips: Facts on the row that come first.
    """
    # transformers takes seconds to import and is not needed before the first row is shown as tokens.
    from core.models.loading import load_tokenizer

    # The trainer's own renderer: what is shown here is what trains.
    renderer = Renderer(load_tokenizer(catalogue.find(settings, page.model)), page.template)
    try:
        rendered = renderer.render(messages)
    except TemplateError as error:
        refused = ("⚠", f"Not trained on: {error}", True)
        return _joined(chips_html([*chips, refused]), conversation_html(messages))
    tokens = [
        (rendered.text[start:end], role, label >= 0)
        for (start, end), role, label in zip(rendered.offsets, rendered.roles, rendered.labels, strict=True)
    ]
    chips = [
        *chips,
        (f"{rendered.length:,}", f"tokens for {page.model}, {renderer.template_name}", False),
        (f"{rendered.loss_tokens:,}", f"{noun_for(rendered.loss_tokens, 'carries', 'carry')} loss (colored)", False),
        *(("⚠", note, True) for note in rendered.notes),
    ]
    if rendered.length > page.max_length:
        chips.append((f"{rendered.length - page.max_length:,}", f"truncated at {page.max_length:,}", True))
    return _joined(chips_html(chips, TARGETS, FORM_ID), tokens_html(tokens, page.max_length))


def _joined(*pieces: str) -> str:
    return "".join(pieces)
