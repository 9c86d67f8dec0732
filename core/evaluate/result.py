"""Results of an evaluation: as rows of a file or dataset, as metrics, and as a rate.

One row per prompt of the set, without the probes of the forgetting guard: messages (the conversation with the answer of
the last lane, as in any dataset), prompt, reference, then answer, tokens and end of each lane, then every metric of
each lane, by its name in the registry, then the settings, the seed, the precision and the row in the source.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.chat.types import END_LABELS
from core.data import export, sources
from core.data.formats import Reading
from core.data.table import Dataset
from core.errors import StudioError
from core.evaluate import scoring
from core.evaluate.metrics import METRICS
from core.evaluate.metrics.running import LaneMetrics
from core.evaluate.scores import Scores
from core.evaluate.store import ACTIVE, Evaluation, EvaluationStore
from core.system.files import replacing
from core.system.jobs import Progress, ignore_progress
from core.system.spreadsheets import as_text_cells

FILE_LABELS = {"jsonl": "JSONL", "csv": "CSV for spreadsheets", "parquet": "Parquet"}
FILE_KINDS = tuple(FILE_LABELS)

# Share of the progress that is done once missing scores are made.
_SCORED_SHARE = 0.5
# Prefix of the columns with the answers of a lane.
_ANSWER = "answer of "
# Answers from which the remaining time is estimated.
_MIN_ANSWERS = 8
# Begins the name of each result's file, and so of the dataset that it is opened as.
NAME_PREFIX = "answers-"


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
    if not (finished := evaluation.finished(answers)):
        raise StudioError("No prompt is answered by every model yet. Wait for the first ones.")
    titles, precision = evaluation.lane_titles(store.runs), evaluation.saved_state().precision
    scores = _score_columns(scoring.load(evaluation, lambda share, text: progress(share * _SCORED_SHARE, text)), titles)
    for position, index in enumerate(finished):
        if position % 100 == 0:
            share = _SCORED_SHARE + (1 - _SCORED_SHARE) * position / len(finished)
            progress(share, "Collecting the answers")
        prompt, lines = prompts[index], answers.read(index)
        yield {
            "messages": [*prompt.messages, {"role": "assistant", "content": lines[-1]["text"]}],
            "prompt": prompt.question,
            "reference": prompt.reference,
            **{f"{_ANSWER}{title}": line["text"] for title, line in zip(titles, lines, strict=True)},
            **{f"tokens of {title}": line["tokens"] for title, line in zip(titles, lines, strict=True)},
            **{f"why {title} ended": END_LABELS[line["end"]] for title, line in zip(titles, lines, strict=True)},
            **{name: None if math.isnan(value := values[index]) else float(value) for name, values in scores.items()},
            "settings": config.describe_settings(),
            "seed": config.seed,
            "precision": precision,
            "source row": prompt.row,
        }


def _score_columns(scores: Scores, titles: list[str]) -> dict[str, np.ndarray]:
    """Return the values of all metrics of all lanes, (prompts,), by the name of their column.

    The number of tokens is left out: it has a column of its own.
    """
    return {
        f"{metric.name} of {title}": scores.values(metric.name, lane)
        for metric in scores.metrics
        if metric.name != "tokens"
        for lane, title in enumerate(titles)
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
    finished, total = len(evaluation.finished(evaluation.answers())), evaluation.set_size()
    return f"{NAME_PREFIX}{evaluation.id}" + (f"-{finished}-of-{total}" if finished < total else "")


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
    """Open the finished prompts as a dataset; an unchanged result is not opened twice.

    Args:
        store: The evaluations.
        evaluation: The evaluation.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: No prompt is finished yet.
    """
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


def format_metrics(running: LaneMetrics, scores: Scores | None = None, lane: int = 0) -> dict[str, str]:
    """Return the known metrics of a lane as texts, by their titles in the order of the registry.

    Args:
        running: Sums over the answers that are written so far.
        scores: The scores, once there are some; they take the place of the sums.
        lane: Index of the lane.
    """
    if scores is None:
        values = running.means()
    else:
        values = {metric.name: scores.summary(metric.name, lane) for metric in scores.metrics}
    known = {name: value for name, value in values.items() if value is not None}
    return {metric.title: metric.format(known[name]) for name, metric in METRICS.items() if name in known}


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
    # Losses and scores follow the answers, and are not part of their rate.
    ended = state.answering_ended or state.ended
    if ended is None and state.status not in ACTIVE:
        # The worker crashed without writing its end: the time of its last answer is the best estimate.
        ended = evaluation.answers_file.stat().st_mtime
    # At least a tenth of a second, so that a clock that was set back gives no negative rate.
    seconds = max(0.1, (ended or now) - state.answering_since)
    remaining = evaluation.saved_state().prompts * len(evaluation.config().lanes) - answered
    # The first answers end together, so the speed until the first of them says little.
    is_known = state.status in ACTIVE and new >= _MIN_ANSWERS
    return 60 * new / seconds, remaining * seconds / new if is_known else None
