"""An evaluation in HTML: its status, its lanes' figures, what was decided for it."""

import html

from core.evaluate import prompts, result
from core.evaluate.answers_file import Answers
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import ACTIVE, EvaluationState
from core.runs.progress import duration


def status_html(state: EvaluationState, answered: int, lanes: int, rate: float | None, left: float | None) -> str:
    """Badge, how far it is, how fast, the time left, and the cause where it did not finish."""
    total = state.prompts * lanes
    words = [state.stage] if state.stage and state.status in ACTIVE else []
    words.append(f"{answered:,} of {total:,} answers")
    if rate:
        words.append(f"{rate:,.0f} a minute")
    if left:
        words.append(f"about {duration(left)} left")
    share = answered / total if total else 0
    cause = f'<div class="{_cause(state)}">{html.escape(state.cause)}</div>' if state.cause else ""
    return (
        f'<div class="qs-status"><span class="qs-badge {state.status}">{state.status}</span>'
        f"<span>{html.escape(', '.join(words))}</span>"
        f'<div class="qs-bar" role="progressbar" aria-valuenow="{share:.0%}" aria-label="progress">'
        f'<i style="width:{share:.1%}"></i></div>{cause}</div>'
    )


def _cause(state: EvaluationState) -> str:
    return "qs-cause" if state.status in ("failed", "interrupted", "unreadable") else "qs-note"


def figures_html(titles: list[str], answers: Answers) -> str:
    """The figures of all lanes side by side, once there are answers."""
    found = [result.figures(tally) for tally in answers.tallies]
    names = list(dict.fromkeys(name for figures in found for name in figures))
    if not names:
        return ""
    heads = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f"<td>{html.escape(figures.get(name, '–'))}</td>" for figures in found)
        + "</tr>"
        for name in names
    )
    return f'<div class="qs-differ"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def notes_html(name: str, config: EvaluationConfig, state: EvaluationState, titles: list[str]) -> str:
    """Which prompts, who is who, which settings, and what was decided, each with its reason."""
    lines = [
        f"{state.prompts:,} prompts: {prompts.in_words(config)}.",
        *(f"{title} is {lane}." for title, lane in zip(titles, config.lanes, strict=True) if title != lane),
        f"Settings: {config.settings_in_words}, seed {config.seed}.",
        *state.choices,
    ]
    lines.append("F1 of words: how many an answer shares with the reference. How alike both are, not how good.")
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<div class="qs-note"><b>{html.escape(name)}</b><ul>{items}</ul></div>'
