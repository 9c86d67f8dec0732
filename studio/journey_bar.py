"""The widget of the journey bar, and the events of its buttons and of a run's next steps."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gradio as gr

from studio.event_values import names_of
from studio.html import read_static
from studio.journey import JourneyBar
from studio.wiring import UNLIMITED, Named, connect

# While something runs, the bar is updated by a timer; the Train tab has its own, faster one.
POLL_SECONDS = 10


def build_journey_bar() -> gr.HTML:
    """Build the bar in the open layout; listen to `.go`, whose event has the fields of an `Action` but the label."""
    return gr.HTML(
        '<div class="jb"><span class="jb-next">Loading …</span></div>',
        js_on_load=read_static("journey.js"),
        elem_id="journey",
        padding=False,
    )


def connect_journey(
    do: JourneyBar, bar: gr.HTML, changes: list[Callable[..., Any]], chosen: Named, chat: Named
) -> list[Any]:
    """Update the bar whenever something may have changed, and let its buttons open tabs.

    Args:
        do: The handlers.
        bar: What `build_journey_bar` returned.
        changes: Events after which there may be other subsets, runs or evaluations.
        chosen: The page's tabs, and what a button chooses there: `subset`, `run`, `views`, `evaluate_run`,
            `export_run`, `dataset`, `tools`, and all that shows a chat; and the bar, if that was deleted meanwhile.
        chat: The conversation that the page shows, by name.

    Returns:
        The events of the buttons, for what follows them.
    """
    timer = gr.Timer(POLL_SECONDS, active=False)
    outputs = {"bar": bar, "timer": timer}
    connect(partial(gr.on, [*changes, timer.tick]), do.render, outputs=outputs, visitor=True, **UNLIMITED)
    # What was deleted elsewhere is noticed when a person comes back to the page.
    connect(bar.returned, do.render, outputs=outputs, visitor=True, **UNLIMITED)

    def go(event: gr.EventData, **chat: Any) -> dict[str, Any]:
        tab, subset_name, run_id, dataset = names_of(event, "tab", "subset", "run", "dataset")
        return do.go(tab, subset_name, run_id, dataset, **chat)

    return [connect(bar.go, go, chat, chosen, visitor=True, **UNLIMITED)]


def connect_next_steps(
    do: JourneyBar, buttons: Mapping[str, gr.Button], run: gr.Dropdown, chosen: Named, chat: Named
) -> list[Any]:
    """Let buttons of one run open the other tabs with it.

    Args:
        do: The handlers.
        buttons: By the tab that each one opens.
        run: The selected run.
        chosen: As in `connect_journey`.
        chat: The conversation that the page shows, by name.

    Returns:
        The events of the buttons, for what follows them.
    """

    def opener(tab: str) -> Callable[..., dict[str, Any]]:
        """Return a handler that opens a tab with the selected run."""

        def open_with_run(run_id: str | None, **chat: Any) -> dict[str, Any]:
            return do.go(tab, "", run_id or "", **chat)

        return open_with_run

    inputs = {"run_id": run, **chat}
    return [connect(button.click, opener(tab), inputs, chosen, **UNLIMITED) for tab, button in buttons.items()]
