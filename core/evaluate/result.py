"""Results of an evaluation: as rows of a file or dataset, as metrics, and as a rate.

One row per prompt: messages (the conversation with the answer of the last lane, as in any dataset), prompt, reference,
then answer, tokens and end of each lane, then the settings, the seed, the precision and the row in the source.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.chat.types import END_LABELS
from core.data import export, sources
from core.data.formats import Reading
from core.data.table import Dataset
from core.errors import StudioError
from core.evaluate.metrics import LaneMetrics
from core.evaluate.store import ACTIVE, Evaluation, EvaluationStore
from core.system.files import replacing
from core.system.jobs import Progress, ignore_progress
from core.system.spreadsheets import as_text_cells

FILE_LABELS = {"jsonl": "JSONL", "csv": "CSV for spreadsheets", "parquet": "Parquet"}
FILE_KINDS = tuple(FILE_LABELS)

# Prefix of the columns with the answers of a lane.
_ANSWER = "answer of "


def iterate_rows(
    store: EvaluationStore, evaluation: Evaluation, progress: Progress = ignore_progress
) -> Iterator[dict[str, Any]]:
    """Yield a row for every prompt that all lanes have answered, in the order of the prompts.

    Args:
        store: The evaluations.
        evaluation: The evaluation.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: No prompt is finished yet.
    """
    config, prompts, answers = evaluation.config(), evaluation.prompts(), evaluation.answers()
    if not answers.finished:
        raise StudioError("No prompt is answered by every model yet. Wait for the first ones.")
    titles, precision = evaluation.lane_titles(store.runs), evaluation.saved_state().precision
    for position, index in enumerate(sorted(answers.finished)):
        if position % 100 == 0:
            progress(position / len(answers.finished), "Collecting the answers")
        prompt, lines = prompts[index], answers.read(index)
        yield {
            "messages": [*prompt.messages, {"role": "assistant", "content": lines[-1]["text"]}],
            "prompt": prompt.question,
            "reference": prompt.reference,
            **{f"{_ANSWER}{title}": line["text"] for title, line in zip(titles, lines, strict=True)},
            **{f"tokens of {title}": line["tokens"] for title, line in zip(titles, lines, strict=True)},
            **{f"why {title} ended": END_LABELS[line["end"]] for title, line in zip(titles, lines, strict=True)},
            "settings": config.describe_settings(),
            "seed": config.seed,
            "precision": precision,
            "source row": prompt.row,
        }


def comparison_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns to compare side by side in an opened result: prompt, reference and the answers.

    Args:
        columns: Column names of a dataset. If it is not the result of an evaluation, nothing is returned.
    """
    answers = [name for name in columns if name.startswith(_ANSWER)]
    return ["prompt", *(name for name in columns if name == "reference"), *answers] if "source row" in columns else []


def _result_name(evaluation: Evaluation) -> str:
    """Return the file name without suffix; that of a partial result contains the number of finished prompts."""
    finished, total = len(evaluation.answers().finished), evaluation.saved_state().prompts
    return f"answers-{evaluation.id}" + (f"-{finished}-of-{total}" if finished < total else "")


def write(store: EvaluationStore, evaluation: Evaluation, kind: str, progress: Progress = ignore_progress) -> Path:
    """Write the finished prompts as a file in exports/ and return its path; the file appears complete or not at all.

    JSONL and Parquet have all texts as they are. CSV is for spreadsheets: texts that begin like a formula get an
    apostrophe.

    Args:
        store: The evaluations.
        evaluation: The evaluation.
        kind: One of `FILE_KINDS`.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The kind is unknown, or no prompt is finished yet.
    """
    if kind not in FILE_KINDS:
        raise StudioError(f"There is no file format {kind!r}. Expected one of {', '.join(FILE_KINDS)}.")
    target = store.settings.exports_dir / f"{_result_name(evaluation)}.{kind}"
    with tempfile.TemporaryDirectory(prefix=".export-", dir=store.settings.exports_dir) as scratch:
        rows = iterate_rows(store, evaluation, progress)
        written = export.write_rows(Path(scratch), "answers", kind, map(as_text_cells, rows) if kind == "csv" else rows)
        with replacing(target) as temporary:
            written.replace(temporary)
    return target


def open_as_dataset(store: EvaluationStore, evaluation: Evaluation, progress: Progress = ignore_progress) -> Dataset:
    """Open the finished prompts as a dataset; an unchanged result is not opened twice."""
    name = f"{_result_name(evaluation)}.jsonl"
    with tempfile.TemporaryDirectory(prefix=".answers-", dir=store.settings.exports_dir) as scratch:
        path = Path(scratch) / name
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in iterate_rows(store, evaluation, lambda share, text: progress(share * 0.4, text)):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        # Beside its conversation, each row has the reference and the other answers, which a detection would ask about.
        reading = Reading(format="messages", columns={"messages": "messages"})
        return sources.open_file(
            store.settings, path, name, lambda share, text: progress(0.4 + share * 0.6, text), reading
        )


def format_metrics(metrics: LaneMetrics) -> dict[str, str]:
    """Return the known metrics of a lane as texts, by their names."""
    texts = {}
    if metrics.answers:
        texts = {"ended before the limit": f"{metrics.completed_share:.0%}"}
        texts |= {"mean tokens": f"{metrics.mean_tokens:,.0f}"}
    if metrics.referenced:
        texts |= {"word F1": f"{metrics.mean_f1:.3f}", "exact match": f"{metrics.exact_share:.1%}"}
    return texts


def measure_rate(evaluation: Evaluation, answered: int, now: float) -> tuple[float | None, float | None]:
    """Return answers per minute since the last start, and the remaining seconds; None where unknown.

    Args:
        evaluation: The evaluation.
        answered: Number of answers.
        now: Seconds since the epoch.
    """
    state = evaluation.state()
    new = answered - state.answered_at_start
    if state.answering_since is None or new <= 0:
        return None, None
    ended = state.ended
    if ended is None and state.status not in ACTIVE:
        # The worker crashed without writing its end: the time of its last answer is the best estimate.
        ended = evaluation.answers_file.stat().st_mtime
    # At least a tenth of a second, so that a clock that was set back gives no negative rate.
    seconds = max(0.1, (ended or now) - state.answering_since)
    remaining = evaluation.saved_state().prompts * len(evaluation.config().lanes) - answered
    return 60 * new / seconds, remaining * seconds / new if state.status in ACTIVE else None
