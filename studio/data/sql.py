"""Query the rows of a dataset with SQL, and create a subset from the result."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data import sql_box
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted
from studio.data.page_state import State, parse_state
from studio.html import render

EXAMPLE = (
    "SELECT language, count(*) AS rows, avg(characters) AS mean_length\nFROM rows GROUP BY language ORDER BY rows DESC"
)
_HELP = (
    "Enter one SELECT statement; the table is named `rows`. It can only read these rows, and is stopped after "
    f"{sql_box.TIMEOUT_SECONDS} seconds. A result with the column `row` can become a subset."
)


class SqlQuery:
    """Event handlers of the SQL box. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def run(self, state: State, sql: str) -> dict[str, Any]:
        """Run one SELECT over the rows of the chosen dataset."""
        answer = sql_box.run_select(parse_state(state).open_rows(self.settings), check_sql(sql))
        count = len(answer.rows)
        text = f"The first {count:,} rows" if answer.has_more else counted(count, "row")
        table = gr.update(value={"headers": answer.columns, "data": answer.rows}, visible=True)
        return {"result": table, "result_text": text}

    def columns(self, state: State) -> dict[str, Any]:
        """Return the update of the list of columns that a query can name."""
        page = parse_state(state)
        if not page.dataset:
            return {"sql_columns": ""}
        return {"sql_columns": render("data/sql_columns", columns=sql_box.list_columns(page.open_rows(self.settings)))}


def check_sql(text: str) -> str:
    """Return a query without surrounding space.

    Raises:
        StudioError: It is empty.
    """
    if not (text or "").strip():
        raise StudioError(f"No SQL was given. Enter a SELECT, such as: {' '.join(EXAMPLE.split())}")
    return text.strip()


@dataclass(frozen=True)
class SqlWidgets:
    """Widgets of the SQL box; `name` and `create` make a subset of the result."""

    sql: gr.Code
    run: gr.Button
    result_text: gr.HTML
    result: gr.Dataframe
    columns: gr.HTML
    name: gr.Textbox
    create: gr.Button

    @property
    def named(self) -> dict[str, gr.blocks.Block]:
        """Return the query and the name of the subset of its result, by name."""
        return {"sql": self.sql, "name": self.name}


def build_sql() -> SqlWidgets:
    """Build the widgets in the open layout."""
    gr.Markdown(_HELP, elem_classes="qs-note")
    sql = gr.Code(EXAMPLE, language="sql", label="SQL", lines=5, max_lines=16, elem_id="sql")
    run = gr.Button("Run query", elem_id="ask-sql")
    result_text = gr.HTML(elem_id="sql-words", padding=False, elem_classes="qs-under")
    result = gr.Dataframe(
        interactive=False, visible=False, show_label=False, max_height=380, max_chars=120, buttons=[],
        elem_id="sql-rows", datatype="str",
    )  # fmt: skip
    columns = gr.HTML(elem_classes="qs-note", elem_id="sql-columns", padding=False)
    with gr.Row(elem_classes="qs-bottom"):
        name = gr.Textbox(label="Name of a subset of the result", min_width=140, elem_id="sql-name")
        create = gr.Button("Create subset of the result", size="sm", min_width=190, scale=0, elem_id="sql-create")
    return SqlWidgets(sql, run, result_text, result, columns, name, create)
