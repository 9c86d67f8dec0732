"""What came of an evaluation, as rows: opened as a data set, exported as a file, summed up in a few numbers.

A row a prompt: messages (the conversation with the last lane's answer, as any data set has it), prompt, reference, and
a lane's answer, its tokens and why it ended in columns of its own, then the settings, the seed and the precision.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.chat.types import END_LABELS
from core.data import export, sources
from core.data.table import Dataset
from core.errors import StudioError
from core.evaluate.metrics import LaneMetrics
from core.evaluate.store import ACTIVE, Evaluation, EvaluationStore
from core.system.files import replacing

FILE_KINDS = ("jsonl", "csv", "parquet")

_ANSWER = "answer of "  # begins the name of a column with a lane's answers

Told = Callable[[float, str], None]


def _quiet(share: float, words: str) -> None:
    pass


def rows(store: EvaluationStore, evaluation: Evaluation, progress: Told = _quiet) -> Iterator[dict[str, Any]]:
    """Every prompt that each lane has answered, in the order of the prompts.

    Raises StudioError when there is none yet.
    """
    config, prompts, answers = evaluation.config(), evaluation.prompts(), evaluation.answers()
    if not answers.finished:
        raise StudioError("No prompt is answered by every lane yet. Wait for the first ones.")
    titles, precision = evaluation.lane_titles(store.runs), evaluation.saved_state().precision
    for at, number in enumerate(sorted(answers.finished)):
        if at % 100 == 0:
            progress(at / len(answers.finished), "Collecting the answers")
        prompt, found = prompts[number], answers.read(number)
        yield {
            "messages": [*prompt.messages, {"role": "assistant", "content": found[-1]["text"]}],
            "prompt": prompt.question,
            "reference": prompt.reference,
            **{f"{_ANSWER}{title}": line["text"] for title, line in zip(titles, found, strict=True)},
            **{f"tokens of {title}": line["tokens"] for title, line in zip(titles, found, strict=True)},
            **{f"why {title} ended": END_LABELS[line["end"]] for title, line in zip(titles, found, strict=True)},
            "settings": config.describe_settings(),
            "seed": config.seed,
            "precision": precision,
            "source row": prompt.row,
        }


def comparison_columns(columns: Sequence[str]) -> list[str]:
    """The columns of an opened result that a person compares: prompt, reference, each lane's answer; none of another
    data set's."""
    answers = [name for name in columns if name.startswith(_ANSWER)]
    return ["prompt", *(name for name in columns if name == "reference"), *answers] if "source row" in columns else []


def name_of(evaluation: Evaluation) -> str:
    """What the result is called; a partial one says how far it is."""
    whole, total = len(evaluation.answers().finished), evaluation.saved_state().prompts
    return f"answers-{evaluation.id}" + (f"-{whole}-of-{total}" if whole < total else "")


def write(store: EvaluationStore, evaluation: Evaluation, kind: str, progress: Told = _quiet) -> Path:
    """The result so far as a file in exports/; a reader never sees half of it.

    Raises StudioError for a kind of file that there is not, or when there is no answer yet.
    """
    if kind not in FILE_KINDS:
        raise StudioError(f"There is no kind of file {kind!r}. Expected one of {', '.join(FILE_KINDS)}.")
    target = store.settings.exports_dir / f"{name_of(evaluation)}.{kind}"
    with tempfile.TemporaryDirectory(prefix=".export-", dir=store.settings.exports_dir) as scratch:
        written = export.write_rows(Path(scratch), "answers", kind, rows(store, evaluation, progress))
        with replacing(target) as temporary:
            written.replace(temporary)
    return target


def open_as_dataset(store: EvaluationStore, evaluation: Evaluation, progress: Told = _quiet) -> Dataset:
    """The result so far, opened as a data set; found again when it was opened before."""
    name = f"{name_of(evaluation)}.jsonl"
    with tempfile.TemporaryDirectory(prefix=".answers-", dir=store.settings.exports_dir) as scratch:
        path = Path(scratch) / name
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in rows(store, evaluation, lambda share, words: progress(share * 0.4, words)):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        return sources.open_file(store.settings, path, name, lambda share, words: progress(0.4 + share * 0.6, words))


def format_metrics(tally: LaneMetrics) -> dict[str, str]:
    """What can be said of one lane, by what it is; nothing of what is not known yet."""
    found = {}
    if tally.answers:
        found = {"ended by themselves": f"{tally.ended_share:.0%}", "tokens on average": f"{tally.mean_tokens:,.0f}"}
    if tally.referenced:
        found |= {"F1 of words": f"{tally.mean_f1:.3f}", "the very same words": f"{tally.exact_share:.1%}"}
    return found


def measure_rate(evaluation: Evaluation, answered: int, now: float) -> tuple[float | None, float | None]:
    """Answers a minute since it was started last, and the seconds left while it goes on; None where not known yet.

    Args:
        answered: how many answers there are.
        now: seconds since the epoch.
    """
    state = evaluation.state()
    new = answered - state.had
    if state.since is None or new <= 0:
        return None, None
    ended = state.ended
    if ended is None and state.status not in ACTIVE:  # it died without a word: its last answer is its end
        ended = evaluation.answers_file.stat().st_mtime
    seconds = max(0.1, (ended or now) - state.since)
    left = evaluation.saved_state().prompts * len(evaluation.config().lanes) - answered
    return 60 * new / seconds, left * seconds / new if state.status in ACTIVE else None
