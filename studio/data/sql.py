"""The SQL box of the Data tab."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.data import sql_box
from core.errors import StudioError
from core.settings import Settings
from studio.data.page_state import lens_of

EXAMPLE = (
    "SELECT language, count(*) AS rows, avg(characters) AS mean_length\nFROM rows GROUP BY language ORDER BY rows DESC"
)
_ABOUT = (
    "One SELECT over the table `rows`: read-only, no files, no network, stopped after "
    f"{sql_box.TIMEOUT_SECONDS} seconds. A result with the column `row` can be cut as a subset."
)


class Asking:
    def __init__(self, settings: Settings):
        self.settings = settings

    def ask(self, state: dict, sql: str) -> tuple[Any, str]:
        """One SELECT over the rows of the chosen data set."""
        answer = sql_box.run_select(lens_of(state).rows(self.settings), sql_of(sql))
        words = (
            f"The first {len(answer.rows):,} rows"
            if answer.more
            else f"{len(answer.rows):,} row{'s' * (len(answer.rows) != 1)}"
        )
        return gr.update(value={"headers": answer.columns, "data": answer.rows}, visible=True), words

    def columns(self, state: dict) -> str:
        lens = lens_of(state)
        if not lens.dataset:
            return ""
        listed = ", ".join(f"`{name}` ({kind})" for name, kind in sql_box.list_columns(lens.rows(self.settings)))
        return f"Columns: {listed}."


def sql_of(text: str) -> str:
    if not (text or "").strip():
        raise StudioError(f"No SQL was given. Expected a SELECT, such as: {EXAMPLE}")
    return text.strip()


@dataclass(frozen=True)
class AskingWidgets:
    sql: gr.Code
    ask: gr.Button
    words: gr.HTML
    result: gr.Dataframe
    columns: gr.Markdown
    name: gr.Textbox
    cut: gr.Button


def build_asking() -> AskingWidgets:
    gr.Markdown(_ABOUT, elem_classes="qs-note")
    sql = gr.Code(EXAMPLE, language="sql", label="SQL", lines=5, max_lines=16, elem_id="sql")
    ask = gr.Button("Ask", variant="primary", elem_id="ask-sql")
    words = gr.HTML(elem_id="sql-words", padding=False, elem_classes="qs-under")
    result = gr.Dataframe(
        interactive=False, visible=False, show_label=False, max_height=380, max_chars=120, buttons=[],
        elem_id="sql-rows", datatype="str",
    )  # fmt: skip
    columns = gr.Markdown(elem_classes="qs-note", elem_id="sql-columns")
    with gr.Row():
        name = gr.Textbox(label="Subset of these rows", placeholder="a name", min_width=140, elem_id="sql-name")
        cut = gr.Button("Cut", min_width=90, scale=0, elem_id="sql-cut")
    return AskingWidgets(sql, ask, words, result, columns, name, cut)
