"""Tracing: which spans of the answers of an evaluation stand verbatim in the rows that a run was trained on.

    evaluations/<id>/traces/<run>.parquet    one row per answer, in the order of the prompts
        prompt, lane      the answer
        cluster           row of the prompt in its source; turns of one conversation share it
        tokens            number of tokens of the answer, as the run's tokenizer splits it
        share             share of them that stand in a span, 0 to 1
        spans             the spans, longest first: start and end in characters, tokens, row of the run's subset

A tokenizer may split a word at the start of an answer in another way than inside a text, so a span can miss its first
token. The metadata has the size of answers.jsonl when the file was made, and the longest spans. A file that does not
match the answers is not shown. It is replaced atomically.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from core.errors import StudioError
from core.evaluate.config import parse_lane
from core.evaluate.memorization import run_index
from core.evaluate.memorization.run_index import RunIndex
from core.evaluate.memorization.spans import MIN_TOKENS, copied_share, find_spans
from core.evaluate.metrics import Metric
from core.evaluate.statistics.paired import PairedDifference, PairedScores, compare
from core.evaluate.store import ACTIVE, Evaluation
from core.runs.store import RunStore
from core.system.counting import counted
from core.system.files import file_size, replacing
from core.system.jobs import Progress, ignore_progress

COPIED = Metric(
    "copied_from_training", "Share copied from the training rows", "neither", "share", "",
    f"The share of an answer that stands word for word in the rows that the run was trained on, in spans of at least "
    f"{MIN_TOKENS} tokens. Tokens in such spans / tokens of the answer, with the longest spans found by a suffix array "
    "over the training texts (Manber and Myers 1993; verbatim memorization as in Carlini et al. 2023).",
)  # fmt: skip
# Number of spans that the table of the longest ones shows; each has another text.
LONGEST = 20
# Raise it whenever a value would change: existing traces are then outdated.
_VERSION = 1
_METADATA = b"studio"
_GROUP_ROWS = 1000
_SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("tokens", pa.int32()), ("row", pa.int64())])
_SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("lane", pa.int8()), ("cluster", pa.int64()), ("tokens", pa.int32()),
    ("share", pa.float64()), ("spans", pa.list_(_SPAN)),
])  # fmt: skip


@dataclass(frozen=True)
class TextSpan:
    """A part of an answer that stands in a training row.

    Attributes:
        start: Its first character in the answer.
        end: The character after its last one.
        tokens: Number of its tokens.
        row: A row of the run's subset that contains it.
    """

    start: int
    end: int
    tokens: int
    row: int


class LongSpan(BaseModel):
    """One of the longest spans of an evaluation; of the same text only the first is kept.

    Attributes:
        tokens: Number of tokens.
        text: Its text.
        row: A row of the run's subset that contains it.
        prompt: The prompt of the answer.
        lane: The lane of the answer.
    """

    tokens: int
    text: str
    row: int
    prompt: int
    lane: int


class TraceAbout(BaseModel):
    """Metadata of a file of traces.

    Attributes:
        version: `_VERSION` when it was made.
        answers: Size of answers.jsonl in bytes.
        rows: Number of training rows that were searched.
        subset: The run's subset.
        longest: The longest spans.
        notes: Sentences about what could not be searched, for the user.
    """

    version: int
    answers: int
    rows: int
    subset: str
    longest: list[LongSpan]
    notes: list[str]


class Traces:
    """The traces of an evaluation in the rows of one run.

    Attributes:
        run: The run's id.
        about: What was searched, and the longest spans.
    """

    def __init__(self, path: Path, about: TraceAbout):
        self.run, self.about, self._path = path.name.removesuffix(".parquet"), about, path

    def spans(self, prompt: int) -> dict[int, list[TextSpan]]:
        """Return the spans of the answers to a prompt, longest first, by lane; only the groups with it are read."""
        found = pq.read_table(self._path, columns=["prompt", "lane", "spans"], filters=[("prompt", "=", prompt)])
        return {line["lane"]: [TextSpan(**span) for span in line["spans"]] for line in found.to_pylist()}

    def compare(self, first: int, second: int, seed: int = 0) -> PairedDifference:
        """Return the difference of the copied shares of two lanes, `second` − `first`."""
        prompts, where = np.unique(self._column("prompt"), return_inverse=True)
        lanes, shares = self._column("lane"), self._column("share")
        clusters = np.zeros(len(prompts), np.int64)
        clusters[where] = self._column("cluster")
        values = np.full((2, len(prompts)), np.nan)
        for at, lane in enumerate((first, second)):
            own = lanes == lane
            values[at, where[own]] = shares[own]
        return compare(PairedScores(values[0], values[1], clusters), seed=seed)

    @cached_property
    def _table(self) -> pa.Table:
        return pq.read_table(self._path, columns=["prompt", "lane", "cluster", "share"])

    def _column(self, name: str) -> np.ndarray:
        return self._table[name].to_numpy()


def traced_run(lanes: list[str], first: int, second: int) -> str:
    """Return the run whose training rows are searched: that of the judged lane, else of the other; "" for none."""
    return parse_lane(lanes[second])[0] or parse_lane(lanes[first])[0]


def find(evaluation: Evaluation, run: str) -> Traces | None:
    """Return the traces of an evaluation in the rows of a run; None if there are none of its present answers."""
    path = _file(evaluation, run)
    if not run or not path.is_file():
        return None
    about = TraceAbout.model_validate(json.loads(pq.read_metadata(path).metadata[_METADATA]))
    is_current = about.version == _VERSION and about.answers == file_size(evaluation.answers_file)
    return Traces(path, about) if is_current else None


def _file(evaluation: Evaluation, run: str) -> Path:
    return evaluation.folder / "traces" / f"{run}.parquet"


def trace(store: RunStore, evaluation: Evaluation, run_id: str, progress: Progress = ignore_progress) -> Traces:
    """Search the answers of an evaluation in the training rows of a run, and write what was found.

    Args:
        store: The runs.
        evaluation: The evaluation.
        run_id: The run.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The evaluation is active or has no answer, the run, its subset or its model is gone, or its rows
            hold no text.
    """
    if not run_id:
        raise StudioError("No model of this evaluation is a run, so there are no training rows. Choose a tuned model.")
    run = store.run(run_id)
    if evaluation.state().status in ACTIVE:
        raise StudioError(f"The evaluation {evaluation.id} still adds answers. Trace them when it has ended.")
    if not len(evaluation.answers()):
        raise StudioError("There is no answer yet. Wait for the first one.")
    found = run_index.load(store, run, lambda share, text: progress(0.7 * share, text))
    size = file_size(evaluation.answers_file)
    tracer = _Tracer(evaluation, found)
    with replacing(_file(evaluation, run_id)) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        for table in _tables(tracer.lines(lambda share, text: progress(0.7 + 0.3 * share, text))):
            writer.write_table(table)
        trained_on = run.subset()
        is_same = trained_on is None or trained_on.sha256 == found.about.key.sha256
        about = TraceAbout(
            version=_VERSION, answers=size, rows=found.about.rows, subset=found.about.key.subset,
            longest=tracer.longest(), notes=tracer.notes(is_same),
        )  # fmt: skip
        writer.add_key_value_metadata({_METADATA: about.model_dump_json().encode()})
    return Traces(_file(evaluation, run_id), about)


def _tables(lines: Iterable[dict]) -> Iterator[pa.Table]:
    """Yield the lines as tables of `_GROUP_ROWS` rows, and at least one table."""
    batch: list[dict] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _GROUP_ROWS:
            yield pa.Table.from_pylist(batch, schema=_SCHEMA)
            batch = []
    yield pa.Table.from_pylist(batch, schema=_SCHEMA)


class _Tracer:
    """Search of the answers of an evaluation in an index."""

    def __init__(self, evaluation: Evaluation, index: RunIndex):
        self._evaluation, self._index = evaluation, index
        self._longest: dict[str, LongSpan] = {}
        self._failed = 0

    def lines(self, progress: Progress) -> Iterator[dict]:
        """Yield a line of the file for every answer; answers that failed, and those to probes, have none."""
        answers, prompts = self._evaluation.answers(), self._evaluation.prompts()
        for index, prompt in enumerate(prompts):
            if index % 20 == 0:
                progress(index / len(prompts), f"Prompts traced: {index:,} of {len(prompts):,}")
            if prompt.probe is not None:
                continue
            for lane, line in enumerate(answers.read(index)):
                if line is not None and line["end"] != "failed" and (traced := self._trace(index, lane, line["text"])):
                    yield {"prompt": index, "lane": lane, "cluster": prompt.row, **traced}

    def _trace(self, prompt: int, lane: int, text: str) -> dict | None:
        try:
            ids, offsets = self._index.encode(text)
        except ValueError:
            self._failed += 1
            return None
        spans = find_spans(self._index.index, ids)
        shown = [
            TextSpan(offsets[span.start][0], offsets[span.end - 1][1], span.length, span.row) for span in spans
        ]  # fmt: skip
        for span in shown:
            found = text[span.start : span.end]
            self._longest.setdefault(
                found, LongSpan(tokens=span.tokens, text=found, row=span.row, prompt=prompt, lane=lane)
            )
        if len(self._longest) > 10 * LONGEST:
            self._longest = {span.text: span for span in self.longest()}
        return {
            "tokens": len(ids),
            "share": copied_share(spans, len(ids)),
            "spans": [vars(span) for span in shown],
        }

    def longest(self) -> list[LongSpan]:
        """Return the longest spans of different texts."""
        return sorted(self._longest.values(), key=lambda span: (-span.tokens, span.prompt, span.lane))[:LONGEST]

    def notes(self, is_same: bool) -> list[str]:
        """Return sentences about what was not searched, or is not what the run was trained on.

        Args:
            is_same: Whether the subset still has the rows that the run was trained on.
        """
        about, notes = self._index.about, []
        if not is_same:
            notes.append(
                f"The subset {about.key.subset} has changed since the run was trained; its present rows were searched."
            )
        if about.skipped:
            skipped = counted(about.skipped, "training text")
            notes.append(f"Not searched, because the tokenizer fails on them: {skipped}.")
        if self._failed:
            notes.append(f"Left out, because the tokenizer fails on them: {counted(self._failed, 'answer')}.")
        return notes
