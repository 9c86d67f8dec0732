"""Colors, fonts and CSS of the page; fonts are the system's own, so that nothing is loaded from another host."""

import gradio as gr

from components import (
    chart,
    chat_board,
    choice_list,
    conversation,
    data_table,
    download,
    field_errors,
    histogram,
    interval_table,
    memory_bar,
    progress_bar,
    side_drawer,
)
from studio import none_yet
from studio.html import read_static

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"]

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.slate,
    radius_size=gr.themes.sizes.radius_md,
    spacing_size=gr.themes.sizes.spacing_md,
    font=FONT,
    font_mono=MONO,
).set(
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    button_primary_text_color="white",
    # Contrast of at least 4.5 to 1 (WCAG AA) on white and on the green of an answer.
    body_text_color_subdued="#566579",
    body_text_color_subdued_dark="#a8b5c8",
    block_info_text_color="#566579",
    input_placeholder_color="#566579",
    input_placeholder_color_dark="#a8b5c8",
)

_STYLED = (
    conversation, data_table, choice_list, histogram, progress_bar, chart, memory_bar, download, chat_board,
    side_drawer, field_errors, interval_table,
)  # fmt: skip
# Files of the page, of the bar above the tabs, and of the tabs. They come last, so that they can override the rules of
# the components.
_OWN = (
    "theme.css",
    "journey.css",
    "data.css",
    "train.css",
    "chat.css",
    "evaluate.css",
    "evaluate_board.css",
    "export.css",
    "owner.css",
)
CSS = "\n".join([*(component.CSS for component in _STYLED), *map(read_static, _OWN), none_yet.CSS])
