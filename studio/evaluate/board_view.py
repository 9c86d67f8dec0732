"""The board in the Evaluate tab: all evaluated runs of a base model beside each other, on one set of prompts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.data_table import build_data_table
from core.errors import StudioError
from core.evaluate.board import PARENT, TREE, Board, boards_of, describe_unscored, judged_metrics, make_board
from core.evaluate.metrics import METRICS
from core.evaluate.prompt_sets import PromptSet
from core.evaluate.store import EvaluationStore
from studio.evaluate.board_table import board_html, pair_html
from studio.event_values import name_of, ticked_names
from studio.html import render
from studio.wiring import LATEST_ONLY, UNLIMITED, connect

_MAX_CACHED = 20
_EMPTY = (
    "No evaluation is finished and scored yet. Evaluate a run beside its base model: it appears here, and every "
    "further run that is evaluated on the same prompts is listed beside it."
)
Order = dict[str, Any]


class BoardView:
    """Event handlers of the board."""

    def __init__(self, store: EvaluationStore):
        self.store = store
        # Boards by everything they depend on; an interval takes some milliseconds per run and metric.
        self._boards: dict[tuple, Board] = {}

    def render(
        self, model: str | None, prompts: str | None, subset: str | None, metrics: list[str] | None, order: Order | None
    ) -> dict[str, Any]:
        """Return the table and its choices: what was chosen as far as it exists, else the newest.

        Args:
            model: The base model.
            prompts: Id of the set of prompts.
            subset: Only runs that were trained on it; empty for all.
            metrics: Names of the columns; empty for the metric of the verdict.
            order: `by`, `descending` and the `ticked` lanes.
        """
        wanted = {"model": model, "prompts": prompts, "subset": subset, "metrics": metrics or []}
        found, unscored = boards_of(self.store)
        if not found:
            return _nothing(unscored)
        model = model if model in found else next(iter(found))
        sets = found[model]
        chosen = next((each for each in sets if each.key.id == prompts), sets[0])
        known = judged_metrics(chosen)
        names = [metric.name for metric in known if metric.name in (metrics or [])]
        everything = self._board(chosen, names, "", unscored)
        subsets = list(dict.fromkeys(row.config.subset for row in everything.rows))
        subset = subset if subset in subsets else ""
        board = self._board(chosen, names, subset, unscored) if subset else everything
        shown = {"model": model, "prompts": chosen.key.id, "subset": subset, "metrics": names}
        choices = {
            "model": list(found),
            "prompts": _set_choices(sets, self.store.runs.titles()),
            "subset": [("All subsets", ""), *((name, name) for name in subsets)],
            "metrics": [(metric.title, metric.name) for metric in known],
        }
        # One base model or metric leaves nothing to choose; of subsets, "all" is one more.
        needed = {"model": 2, "prompts": 1, "subset": 3, "metrics": 2}
        updates = {
            name: _choice(options, wanted[name], shown[name], len(options) >= needed[name])
            for name, options in choices.items()
        }
        return {**updates, **_tables(board, order)}

    def _board(self, prompts: PromptSet, metrics: Sequence[str], subset: str, unscored: Sequence[str]) -> Board:
        key = (
            self.store.runs.fingerprint(), prompts.key.id, tuple(found.id for found in prompts.evaluations),
            tuple(metrics), subset, tuple(unscored),
        )  # fmt: skip
        board = self._boards.get(key)
        if board is None:
            while len(self._boards) >= _MAX_CACHED:
                # Another page may empty the cache at the same time, hence the default.
                self._boards.pop(next(iter(self._boards)), None)
            board = self._boards[key] = make_board(self.store, prompts, metrics, unscored, subset)
        return board

    @staticmethod
    def sort(order: Order | None, column: str) -> Order:
        """Return the order by a column; sorting by the same column again reverses the direction."""
        by, descending, ticked = parse_order(order)
        # By a metric, the best run comes first.
        descending = not descending if column == by else column in (*METRICS, PARENT)
        return {"by": column, "descending": descending, "ticked": ticked} if column else dict(order or {})

    def newest_evaluation(self, lane: str) -> str:
        """Return the newest scored evaluation of a lane."""
        for sets in boards_of(self.store)[0].values():
            for prompts in sets:
                for found in prompts.evaluations:
                    if lane in found.config.lanes:
                        return found.id
        raise StudioError(f"No evaluation has the model {lane[:80]!r} any more. Reload the page.")


def _tables(board: Board, order: Order | None) -> dict[str, Any]:
    """Return the table of a board, the comparison of its ticked runs, and the notes."""
    by, descending, ticked = parse_order(order)
    try:
        table = board_html(board, by, descending, ticked)
    except StudioError:
        # The order was chosen for another board.
        table = board_html(board, TREE, False, ticked)
    notes = render("evaluate/board_notes", empty="", notes=_notes(board))
    return {"table": table, "pair": pair_html(board, ticked), "notes": notes}


def _choice(choices: list[Any], wanted: Any, value: Any, visible: bool) -> dict[str, Any]:
    """Return the update of a choice; its value only if that changes: the user may have chosen another one."""
    changed = {} if value == wanted else {"value": value}
    return gr.update(choices=choices, visible=visible, **changed)


def parse_order(order: Order | None) -> tuple[str, bool, list[str]]:
    """Return the column, the direction and the ticked lanes that a page keeps."""
    order = order or {}
    ticked = [str(lane) for lane in order.get("ticked") or []]
    return str(order.get("by") or TREE), bool(order.get("descending")), ticked


def _set_choices(sets: Sequence[PromptSet], titles: dict[str, str]) -> list[tuple[str, str]]:
    """Return the sets of prompts by name; equal names get their settings, or else a number."""
    names = [prompts.describe(titles) for prompts in sets]
    details = [f"{name} · {prompts.evaluations[0].config.describe_settings()}"
               for name, prompts in zip(names, sets, strict=True)]  # fmt: skip
    names = [detail if names.count(name) > 1 else name for name, detail in zip(names, details, strict=True)]
    names = [f"{name} · {prompts.key.id[:4]}" if names.count(name) > 1 else name
             for name, prompts in zip(names, sets, strict=True)]  # fmt: skip
    return [(name, prompts.key.id) for name, prompts in zip(names, sets, strict=True)]


def _notes(board: Board) -> list[str]:
    many = "The intervals are not corrected for the number of runs: the best of many looks better than it is. Confirm "
    return board.notes + ([f"{many}it on new prompts."] if len(board.rows) > 2 else [])


def _nothing(unscored: Sequence[str]) -> dict[str, Any]:
    """Return the empty board."""
    notes = [describe_unscored(unscored)] if unscored else []
    hidden = {name: gr.update(visible=False) for name in ("model", "prompts", "subset", "metrics")}
    shown = render("evaluate/board_notes", empty=_EMPTY, notes=notes)
    return {**hidden, "table": "", "pair": "", "notes": shown}


@dataclass(frozen=True)
class BoardWidgets:
    """Widgets of the board.

    Attributes:
        board: The part that opens.
        model: The base model.
        prompts: The set of prompts.
        subset: Filters the runs.
        metrics: The columns.
        table: The runs.
        pair: The comparison of two ticked runs.
        notes: What is missing.
        order: The order and the ticked runs (`parse_order`).
        is_open: Whether the board is open; a closed one is not updated.
    """

    board: gr.Accordion
    model: gr.Dropdown
    prompts: gr.Dropdown
    subset: gr.Dropdown
    metrics: gr.Dropdown
    table: gr.HTML
    pair: gr.HTML
    notes: gr.HTML
    order: gr.State
    is_open: gr.State

    def named(self, *names: str) -> dict[str, Block]:
        """Return some of the widgets by name."""
        return {name: getattr(self, name) for name in names}


def build_board() -> BoardWidgets:
    """Build the board in the open layout, closed."""
    with gr.Accordion("Board: all runs beside each other", open=False, elem_id="evaluate-board") as board:
        with gr.Row(elem_id="evaluate-board-choices", elem_classes="qs-ends"):
            model, prompts, subset = (
                gr.Dropdown(label=label, visible=False, min_width=180, elem_id=f"board-{name}")
                for name, label in (("model", "Base model"), ("prompts", "Prompts"), ("subset", "Trained on"))
            )
            metrics = gr.Dropdown(label="Metrics", multiselect=True, visible=False, min_width=180,
                                  info="Empty: the one that decides.", elem_id="board-metrics")  # fmt: skip
        table = build_data_table("board-table", "evaluate-verdict")
        pair = gr.HTML(elem_id="board-pair", padding=False)
        notes = gr.HTML(elem_id="board-notes", padding=False)
    order, is_open = gr.State({}), gr.State(False)
    return BoardWidgets(board, model, prompts, subset, metrics, table, pair, notes, order, is_open)


def connect_board(
    do: BoardView, widgets: BoardWidgets, evaluation: gr.Dropdown, changes: list[Callable[..., Any]]
) -> None:
    """Connect the board.

    Args:
        do: The handlers.
        widgets: The widgets.
        evaluation: Selects the evaluation.
        changes: Events after which runs may have changed.
    """
    chosen = widgets.named("model", "prompts", "subset", "metrics", "order")
    outputs = widgets.named("model", "prompts", "subset", "metrics", "table", "pair", "notes")

    def open_board(**values: Any) -> dict[str, Any]:
        return {**do.render(**values), "is_open": True}

    def update(is_open: bool, **values: Any) -> dict[str, Any]:
        return do.render(**values) if is_open else {}

    def sort_by(order: Order | None, event: gr.EventData) -> dict[str, Any]:
        return {"order": do.sort(order, name_of(event))}

    def tick(order: Order | None, event: gr.EventData) -> dict[str, Any]:
        return {"order": {**(order or {}), "ticked": ticked_names(event)}}

    def open_run(event: gr.EventData) -> dict[str, Any]:
        return {"evaluation": do.newest_evaluation(name_of(event))}

    connect(widgets.board.expand, open_board, chosen, {**outputs, "is_open": widgets.is_open}, **UNLIMITED)
    connect(widgets.board.collapse, lambda: {"is_open": False}, outputs=widgets.named("is_open"), **UNLIMITED)
    picked = [getattr(widgets, name).input for name in ("model", "prompts", "subset", "metrics")]
    # Apart from what a person does: a visitor's page makes these calls by itself, and their refusal shows no toast.
    automatic = [widgets.order.change, evaluation.change, *changes]
    for updated in (partial(gr.on, picked), partial(gr.on, automatic)):
        connect(updated, update, {**chosen, "is_open": widgets.is_open}, outputs, **UNLIMITED, **LATEST_ONLY)
    order = widgets.named("order")
    connect(widgets.table.sort_by, sort_by, order, order, **UNLIMITED)
    connect(widgets.table.tick_row, tick, order, order, **UNLIMITED)
    connect(widgets.table.open_row, open_run, outputs={"evaluation": evaluation}, **UNLIMITED)
