"""HTML of an evaluation: its status, its lanes' metrics, its prompts with all answers, and its settings."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from components.conversation import chips_html, conversation_html
from components.data_table import TableColumn, TablePage, TableRow, table_html
from core.chat.types import END_LABELS
from core.evaluate import prompts, result
from core.evaluate.answers_file import AnswerReader
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.line_file import Line
from core.evaluate.metrics import METRICS
from core.evaluate.prompts import Prompt
from core.evaluate.scores import Scores
from core.evaluate.store import ACTIVE, EvaluationState, describe_size
from core.runs.progress import duration
from core.system.counting import counted, noun_for
from studio.html import render

# Characters of a text that a cell of the table shows.
_MAX_CELL_CHARS = 240
NO_EVALUATION = "No evaluation yet"
NOT_ANSWERED = "No prompt is answered by every model yet. The longest prompts are answered first."
NO_PROMPT = "Click a row to read its answers in full."
_FAILED = ("failed", "interrupted", "unreadable")


def status_html(
    state: EvaluationState, answered: int, lanes: int, per_minute: float | None, seconds_left: float | None, now: float
) -> str:
    """Return the status badge, the progress bar, and the cause if the evaluation ended early.

    Args:
        state: Its saved state.
        answered: Finished answers of all lanes.
        lanes: How many lanes answer each prompt.
        per_minute: Answers per minute; None while it is unknown.
        seconds_left: Until the end; None while it is unknown.
        now: The time, in seconds since the epoch.
    """
    total = state.prompts * lanes
    is_answered = 0 < total == answered
    parts = [f"{answered:,} of {counted(total, 'answer')}"] if is_answered else []
    if state.stage and state.status in ACTIVE:
        parts.append(state.stage.removesuffix("."))
    if state.status == "preparing" and state.started:
        parts.append(f"{duration(max(0.0, now - state.started))} so far")
    if not is_answered:
        parts.append(f"{answered:,} of {counted(total, 'answer')}")
    if per_minute and not (is_answered and state.status in ACTIVE):
        parts.append(f"{per_minute:,.0f} per minute" if per_minute >= 1 else f"{60 * per_minute:,.0f} per hour")
    if seconds_left:
        parts.append(f"about {duration(seconds_left)} left")
    return render(
        "evaluate/status",
        status=state.status,
        text=", ".join(parts),
        share=answered / total if total else 0,
        cause=state.cause,
        has_failed=state.status in _FAILED,
    )


def none_html(text: str) -> str:
    """Return a note in place of the whole view; CSS hides what belongs to an evaluation."""
    return render("evaluate/none", text=text)


def first_html() -> str:
    """Return the text in place of the view before the first evaluation: what the view will show."""
    return render("evaluate/first", text=NO_EVALUATION)


def waiting_html(text: str) -> str:
    """Return the status of an evaluation that is about to exist."""
    return render("evaluate/waiting", text=text)


def metrics_html(titles: list[str], answers: AnswerReader, scores: Scores | None = None) -> str:
    """Return the metrics of all lanes side by side; empty until there is an answer.

    Args:
        titles: The lanes' titles.
        answers: The answers written so far.
        scores: The scores of all answers; None while the evaluation runs.
    """
    lanes = [result.format_metrics(metrics, scores, lane) for lane, metrics in enumerate(answers.metrics)]
    # A metric may exist for some lanes only. The rows are in the order in which the lanes first have them.
    names = list(dict.fromkeys(name for metrics in lanes for name in metrics))
    counts = {metric.title: scores.rows(metric.name) for metric in scores.metrics} if scores else {}
    rows = [
        (name, _some_rows(counts.get(name), scores), [metrics.get(name, "–") for metrics in lanes]) for name in names
    ]
    notes = scores.notes if scores else ()
    so_far = "" if scores else counted(len(answers.finished), "prompt")
    return render("evaluate/metrics", titles=titles, rows=rows, notes=notes, so_far=so_far) if rows else ""


def _some_rows(rows: int | None, scores: Scores | None) -> str:
    """Return how many rows have a value of a metric; empty if all have one."""
    if scores is None or rows is None or rows == scores.prompts:
        return ""
    return f"{rows:,} of {counted(scores.prompts, 'row')}"


def answers_html(
    titles: list[str], finished: list[tuple[int, Prompt, list[Line]]], change: str = "",
    changes: Sequence[str] | None = None, empty: str = NOT_ANSWERED,
) -> str:  # fmt: skip
    """Return one page of the table: a row per prompt, a column per lane.

    Args:
        titles: The lanes' titles.
        finished: Index, prompt and one answer per lane.
        change: Heading of the column of changes.
        changes: Text of the change of each row; None for no such column.
        empty: Text in place of the rows if there are none.
    """
    has_reference = any(prompt.reference for _, prompt, _ in finished)
    columns = [TableColumn("prompt", "#", numeric=True), TableColumn("question", "prompt", wide=True)]
    if has_reference:
        columns.append(TableColumn("reference", "reference", wide=True))
    columns += [TableColumn(f"lane {number}", title, wide=True) for number, title in enumerate(titles)]
    if changes is not None:
        columns.insert(1, TableColumn("change", change, numeric=True))
    rows = []
    for at, (index, prompt, lines) in enumerate(finished):
        texts = [prompt.question, *([prompt.reference] if has_reference else []), *(line["text"] for line in lines)]
        cells = [f"{index:,}", *([changes[at]] if changes is not None else [])]
        rows.append(TableRow(str(index), [*cells, *(text[:_MAX_CELL_CHARS] for text in texts)]))
    return table_html(TablePage(columns, rows, empty=empty, plain=True))


def prompt_html(
    index: int, prompt: Prompt, lanes: list[tuple[str, Line | None]], marked: Mapping[int, Markup] | None = None,
    legend: str = "",
) -> str:  # fmt: skip
    """Return one prompt in full.

    Args:
        index: Index of the prompt within the evaluation.
        prompt: The prompt.
        lanes: Title and answer of each lane; None for an answer that is still missing.
        marked: Answers with marks, by lane, in place of their plain text.
        legend: HTML that says what the marks mean.
    """
    parts = [legend, chips_html([(f"Prompt {index:,}", f"row {prompt.row:,} of its source", False)])]
    parts.append(conversation_html(prompt.messages))
    if prompt.reference:
        parts += [chips_html([("Reference", "", False)]), _answer_html(prompt.reference)]
    for lane, (title, line) in enumerate(lanes):
        if line is None:
            continue
        tokens = noun_for(line["tokens"], "token")
        facts = [(title, "", False), (f"{line['tokens']:,}", f"{tokens}, {END_LABELS[line['end']]}", False)]
        if line.get("f1") is not None:
            facts.append((METRICS["word_f1"].format(line["f1"]), METRICS["word_f1"].title, False))
        if line["note"]:
            facts.append(("!", line["note"], True))
        parts += [chips_html(facts), (marked or {}).get(lane) or _answer_html(line["text"])]
    return "".join(parts)


def _answer_html(text: str) -> str:
    return conversation_html([{"role": "assistant", "content": text}])


def notes_html(
    name: str, config: EvaluationConfig, state: EvaluationState, titles: list[str], runs: Mapping[str, str]
) -> str:
    """Return the prompts, the lanes, the settings, and the decisions that were made with their reasons.

    Args:
        name: The evaluation's id.
        config: Its settings.
        state: Its saved state.
        titles: The lanes' titles, in the order of `config.lanes`.
        runs: The runs' display names, by id.
    """
    models = [_model_name(lane, runs) for lane in config.lanes]
    lines = [
        f"{describe_size(config, state)}: {prompts.describe(config, runs.get(config.prompt_run, ''))}.",
        *(f"{title} is {model}." for title, model in zip(titles, models, strict=True) if title != model),
        f"Settings: {config.describe_settings()}, seed {config.seed}.",
        *state.choices,
        f"On the command line it is called {name}.",
    ]
    return render("evaluate/notes", lines=lines)


def _model_name(lane: str, runs: Mapping[str, str]) -> str:
    """Return the display name of a lane's model; a deleted run is named by its id."""
    run, adapter = parse_lane(lane)
    title = runs.get(run, run)
    return lane if not run else title if adapter == "final" else f"{title}, {adapter}"
