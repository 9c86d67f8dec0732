"""Colours, type and spacing of the page. Nothing is fetched from another host: fonts are the system's own."""

import gradio as gr

from components import (
    chart,
    chat_board,
    choice_list,
    conversation,
    data_table,
    download,
    histogram,
    memory_bar,
    progress_bar,
)

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
    button_primary_background_fill_dark="*primary_600",
    button_primary_text_color="white",
    body_text_color_subdued="#566579",  # 4.5 to 1 on white and on an answer's green at least
    block_info_text_color="#566579",
)

CSS = (
    conversation.CSS
    + data_table.CSS
    + choice_list.CSS
    + histogram.CSS
    + progress_bar.CSS
    + chart.CSS
    + memory_bar.CSS
    + download.CSS
    + chat_board.CSS
    + """
:root { --qs-warn: #b45309; --qs-bad: #b91c1c; --qs-good: #0f766e; --qs-answer: #e3f4f1; --qs-tool: #efe9fb; }
.dark { --qs-warn: #f0a94b; --qs-bad: #f87171; --qs-good: #4fd1bd; --qs-answer: #123b38; --qs-tool: #2c2545; }
.gradio-container { max-width: 1440px !important; width: 100%; margin: 0 auto; }
.gradio-container .html-container { padding: 0; }
.gradio-container .column, .gradio-container .row > * { min-width: 0; }
.qs-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; padding: 4px 2px 0; }
.qs-head h1 { font-size: 21px; font-weight: 700; margin: 0; letter-spacing: -.01em; }
.qs-head span { color: var(--body-text-color-subdued); font-size: 13px; }
.qs-title h3 { margin: 6px 0 0; font-size: 15px; font-weight: 650; }
#question-words .qs-second { font-size: 14px; color: inherit; margin: 0; }
.qs-question { border: 1px solid var(--qs-warn); border-radius: 10px; padding: 6px 14px 12px; gap: 8px; }
.qs-title p { margin: 2px 0 0; color: var(--body-text-color-subdued); font-size: 13px; }
.qs-pager { align-items: center; gap: 8px; flex-wrap: wrap; }
.qs-position { flex: 1 1 160px; color: var(--body-text-color-subdued); font-size: 13px; text-align: center; }
.qs-status { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 12px; font-size: 14px; }
.qs-badge { border-radius: 999px; padding: 2px 12px; font-weight: 650; font-size: 13px; color: #fff;
  background: #64748b; }
.qs-badge.running, .qs-badge.preparing, .qs-badge.stopping, .qs-badge.pausing { background: #0f766e; }
.qs-badge.finished { background: #166534; }
.qs-badge.failed, .qs-badge.interrupted { background: #b91c1c; }
.qs-bar { flex: 1 1 100%; height: 8px; border-radius: 99px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); overflow: hidden; }
.qs-bar i { display: block; height: 100%; background: #0f9488; }
.qs-alert { border-left: 3px solid var(--qs-warn); color: var(--qs-warn); padding: 3px 10px; font-size: 14px; }
.qs-visitor { font-size: 13.5px; line-height: 1.5; }
.qs-alert a { padding: 0 2px; white-space: nowrap; }
.qs-signed { padding: 3px 10px; font-size: 13px; color: var(--body-text-color-subdued); }
.qs-findings { list-style: none; margin: 2px 0 0; padding: 0; font-size: 13.5px; line-height: 1.5; }
.qs-findings .problem { color: var(--qs-bad); } .qs-findings .warning { color: var(--qs-warn); }
.qs-cause { flex: 1 1 100%; color: var(--qs-bad); }
.qs-tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); gap: 8px; }
.qs-tile { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 7px 12px; }
.qs-tile b { display: block; font-size: 19px; font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.qs-tile small { color: var(--body-text-color-subdued); font-size: 12px; }
.qs-note, .qs-note .prose, .qs-note .prose * { font-size: 13px; color: var(--body-text-color-subdued);
  line-height: 1.5; }
.qs-note ul { margin: 2px 0 0 18px; padding: 0; }
/* a toast tells what went wrong; an "Error" over whatever the event would have filled only hides it */
.gradio-container [data-testid="status-tracker"] .error { display: none; }
.gradio-container input:is([role="listbox"], [role="combobox"]) { text-overflow: ellipsis; padding-right: 30px; }
/* what has nothing to say takes no room, not even a gap */
#findings:not(:has(.prose > *)), #memory:not(:has(.prose > *)), #measured:not(:has(.prose > *)),
#run-alerts:not(:has(.prose > *)), #runs-differ:not(:has(.prose > *)), #answers-figures:not(:has(.prose > *)),
#answers-notes:not(:has(.prose > *)), #column-uses:not(:has(.prose > *)) { display: none; }
.qs-differ { overflow-x: auto; font-size: 13px; margin-top: 8px; }
.qs-differ table { border-collapse: collapse; }
.qs-differ table, .qs-differ tr { border: 0 !important; }
.qs-differ table th, .qs-differ table td { text-align: left; padding: 4px 14px 4px 0; vertical-align: top;
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; font-weight: 400;
  min-width: 90px; overflow-wrap: anywhere; }
.qs-differ th { color: var(--body-text-color-subdued); }
.qs-differ thead th { font-weight: 650; color: var(--body-text-color); }
/* a lane that is not there takes no room; a checkpoint's name says more than its number */
#lane-choices > .column:not(:has(input)) { display: none; }
#lane-choices .tab-like-container, #lane-choices .min_value, #lane-choices .max_value { display: none; }
/* fields beside each other whose help is of unequal length end on one line */
.qs-even > .form { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); }
#chat-numbers > .form { grid-template-columns: repeat(4, minmax(0, 1fr)); }
:is(.qs-even, .qs-ends) > .form > .block { display: flex; flex-direction: column; }
:is(.qs-even, .qs-ends) > .form > .block > :last-child { display: flex; flex-direction: column; flex: 1; }
:is(.qs-even, .qs-ends) > .form > .block > :last-child > :last-child { margin-top: auto; }
/* until something was asked, the board itself offers questions */
:has(> #chat-board):not(:has(#chat-board .lb-turn)) > #questions { display: none; }
#export-part .row, #chat-acts { flex-wrap: wrap; }
#export-part .row > button { flex: 1 1 150px; }
@media (max-width: 640px) {
  /* every tab in sight, and as high as a finger */
  .tab-container.wrap { background: none; }
  .tab-container.wrap button { height: 42px; padding: 0 10px; }
  #chat-numbers > .form { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  /* status and curves stand right under Start, the groups of knobs below them */
  #train-row > .column { display: contents; }
  #train-row > .column > * { order: 1; width: 100%; }
  #train-row > .column:last-child > * { order: 2; }
  #train-row #train-groups { order: 3; }
  /* a visitor can start nothing: what there is to see comes first */
  :has(#notice .qs-visitor) #train-row > .column:last-child > * { order: 0; }
  #head { flex-wrap: wrap; }
  #head > :first-child { flex: 1 1 100%; }
}
"""
)
