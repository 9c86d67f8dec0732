"""A conversation as bubbles, tokens as coloured spans, facts as a line of chips: all text from data shown inert."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CSS = """
.qs-chips { display: flex; flex-wrap: wrap; gap: 6px 8px; margin: 2px 0; }
.qs-chip { border: 1px solid var(--border-color-primary); border-radius: 14px; padding: 2px 10px; font-size: 13px;
  background: var(--background-fill-secondary); }
.qs-chip b { font-weight: 650; font-variant-numeric: tabular-nums; }
.qs-chip.warn { border-color: var(--qs-warn); color: var(--qs-warn); }
.qs-talk { display: flex; flex-direction: column; gap: 10px; max-width: 860px; }
.qs-turn { border-radius: 12px; padding: 8px 14px 10px; line-height: 1.55; white-space: pre-wrap;
  overflow-wrap: anywhere; border: 1px solid var(--border-color-primary); }
.qs-turn small { display: block; font-size: 11px; letter-spacing: .06em; text-transform: uppercase;
  color: var(--body-text-color-subdued); margin-bottom: 2px; }
.qs-turn small em { font-style: normal; text-transform: none; letter-spacing: 0; margin-left: 6px; padding: 0 8px;
  border: 1px solid var(--qs-warn); border-radius: 999px; color: var(--qs-warn); }
.qs-turn.user { background: var(--background-fill-secondary); margin-right: 12%; }
.qs-turn.assistant { background: var(--qs-answer); margin-left: 12%; }
.qs-turn.system, .qs-turn.tool { border-style: dashed; }
.qs-tokens { font-family: var(--font-mono); font-size: 12.5px; line-height: 2; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.qs-tokens span { border-radius: 4px; padding: 1px 0; box-shadow: inset 0 0 0 .5px var(--border-color-primary); }
.qs-tokens .user, .qs-tokens .tool, .qs-tokens .system { background: var(--background-fill-secondary); }
.qs-tokens .tool { background: var(--qs-tool); }
.qs-tokens .loss { background: var(--qs-answer); font-weight: 600; }
.qs-tokens .cut { border-top: 2px dashed var(--qs-warn); color: var(--qs-warn); font-family: var(--font);
  margin-top: 6px; }
.qs-tokens .past { opacity: .55; }
.qs-talk, .qs-tokens, .qs-raw { max-height: 620px; overflow: auto; }
.qs-raw { white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--font-mono); font-size: 12.5px; }
.qs-second { color: var(--body-text-color-subdued); font-size: 12.5px; line-height: 1.5; margin: 4px 2px 0;
  overflow-wrap: anywhere; }
.qs-empty { color: var(--body-text-color-subdued); padding: 22px 6px; text-align: center; }
"""


def conversation_html(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return bubbles, one per message; direction follows each text's own script.

    Args:
        messages: with `role` and `content`; `loss` is False on an answer that is not learned, which gets a badge.
    """
    turns = (
        f'<div class="qs-turn {html.escape(m["role"])}" dir="auto"><small>{html.escape(m["role"])}'
        f"{'<em>not learned</em>' if m.get('loss') is False else ''}</small>{html.escape(m['content'])}</div>"
        for m in messages
    )
    return f'<div class="qs-talk">{"".join(turns)}</div>'


def tokens_html(pieces: Sequence[tuple[str, str, bool]], cut: int | None = None) -> str:
    """Tokens in a row, from (text, role, carries loss); those from the `cut` on stand behind a line, dimmed."""

    def spans(some: Sequence[tuple[str, str, bool]]) -> str:
        return "".join(
            f'<span class="{html.escape(role)}{" loss" if learned else ""}" title="{html.escape(role)}'
            f'{", carries loss" if learned else ""}">{_visible(text)}</span>'
            for text, role, learned in some
        )

    kept, past = (pieces[:cut], pieces[cut:]) if cut is not None else (pieces, [])
    line = (
        f'<div class="cut">cut off here, at {cut:,} tokens</div><div class="past">{spans(past)}</div>' if past else ""
    )
    return f'<div class="qs-tokens" dir="auto">{spans(kept)}{line}</div>'


def _visible(text: str) -> str:
    return html.escape(text).replace("\n", "↵\n") or "·"


def raw_html(text: str) -> str:
    return f'<div class="qs-raw" dir="auto">{html.escape(text)}</div>'


def chips_html(chips: Iterable[tuple[str, str, bool]]) -> str:
    """A line of facts from (number, words, is a warning)."""
    parts = (
        f'<span class="qs-chip{" warn" if warns else ""}"><b>{html.escape(number)}</b> {html.escape(words)}</span>'
        for number, words, warns in chips
    )
    return f'<div class="qs-chips">{"".join(parts)}</div>'


def empty_html(text: str) -> str:
    return f'<div class="qs-empty">{html.escape(text)}</div>'


def secondary_html(text: str) -> str:
    """Return a line that is less prominent than the chips above it."""
    return f'<div class="qs-second">{html.escape(text)}</div>'
