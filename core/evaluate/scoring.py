"""Scoring pass of an evaluation: reads its answers and losses, and writes scores.parquet.

It takes a few milliseconds per answer, most of them in sacrebleu and rouge-score, and holds one float per prompt, lane
and metric in memory.
"""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.languages import language_detector
from core.errors import StudioError
from core.evaluate import scores
from core.evaluate.classification.scoring import label_scores
from core.evaluate.likelihood import LossReader
from core.evaluate.line_file import Line
from core.evaluate.metrics import METRICS, VERSION
from core.evaluate.metrics.form import form_scores, language_kept
from core.evaluate.metrics.overlap import CorpusScorer, overlap_scores
from core.evaluate.metrics.source import source_scores
from core.evaluate.prompts import Prompt
from core.evaluate.scores import Scores, ScoresInfo
from core.evaluate.store import Evaluation
from core.evaluate.traits import Traits
from core.system.files import replacing
from core.system.jobs import Progress, ignore_progress

# Prompts between two reports of the progress.
_REPORT_PROMPTS = 20


def load(evaluation: Evaluation, progress: Progress = ignore_progress) -> Scores:
    """Return the scores of an evaluation; they are made now if there are none that match its answers.

    Args:
        evaluation: The evaluation.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no answer yet.
    """
    return scores.find(evaluation) or score(evaluation, progress)


def score(evaluation: Evaluation, progress: Progress = ignore_progress) -> Scores:
    """Compute the scores of the answers and losses that exist, write them, and return them.

    Args:
        evaluation: The evaluation.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no answer yet.
    """
    # Read before the files: what is appended meanwhile makes these scores outdated.
    sizes = scores.source_sizes(evaluation)
    answers, prompts = evaluation.answers(), evaluation.prompts()
    if not len(answers):
        raise StudioError("There is no answer yet. Wait for the first one.")
    losses = LossReader(evaluation.losses_file, len(evaluation.config().lanes)).update()
    # Probes come last and are scored by core.evaluate.guard: they are no part of the task.
    count = evaluation.set_size()
    scorer = Scorer(count, len(evaluation.config().lanes))
    for index, prompt in enumerate(itertools.islice(prompts, count)):
        if index % _REPORT_PROMPTS == 0:
            progress(index / count, f"Prompts scored: {index:,} of {count:,}")
        scorer.add(index, prompt, answers.read(index))
    scorer.add_losses(losses)
    for name, values in label_scores(evaluation, count).items():
        scorer.values[name] = values
    info = ScoresInfo(
        version=VERSION, sources=sizes, lanes=scorer.lanes, summaries=scorer.summaries(), notes=scorer.notes(losses)
    )
    path = evaluation.folder / scores.FILE
    with replacing(path) as temporary:
        pq.write_table(_table(scorer, info), temporary, compression="zstd")
    progress(1.0, "Scored")
    return Scores(path)


class Scorer:
    """Values of all metrics, filled prompt by prompt.

    Attributes:
        lanes: Number of lanes.
        values: (lanes, prompts), float64, by metric; NaN where a metric has no value.
        clusters: Row in the source of each prompt.
        traits: Groups of the prompts.
    """

    def __init__(self, prompts: int, lanes: int):
        self.lanes = lanes
        self.values: dict[str, np.ndarray] = defaultdict(lambda: np.full((lanes, prompts), math.nan))
        self.clusters = np.zeros(prompts, dtype=np.int64)  # (prompts,)
        self._detect: Callable[[str], str | None] = language_detector()
        self.traits = Traits(self._detect)
        self._corpora = [CorpusScorer() for _ in range(lanes)]
        # Sum of the losses in nats and number of tokens, by lane.
        self._losses = np.zeros((lanes, 2))
        self._failed = 0

    def add(self, index: int, prompt: Prompt, lines: list[Line | None]) -> None:
        """Score the answers of all lanes to a prompt; lanes without an answer, or a failed one, get no value."""
        self.clusters[index] = prompt.row
        language = self.traits.add(prompt)
        expected = (self._detect(prompt.reference) if prompt.reference.strip() else None) or language
        for lane, line in enumerate(lines):
            if line is None or line["end"] == "failed":
                self._failed += line is not None
                continue
            text = line["text"]
            found = {
                **overlap_scores(text, prompt.reference),
                **self._corpora[lane].add(text, prompt.reference),
                **form_scores(text, line["tokens"], line["end"]),
                **source_scores(text, prompt.question),
            }
            if (kept := language_kept(expected, self._detect(text))) is not None:
                found["language_kept"] = kept
            for name, value in found.items():
                self.values[name][lane, index] = value

    def add_losses(self, losses: LossReader) -> None:
        """Add the losses of the references."""
        for (prompt, lane), (nll, tokens) in losses.sums.items():
            self.values["loss"][lane, prompt] = nll / tokens
            self._losses[lane] += nll, tokens
        if "loss" in self.values:
            self.values["perplexity"] = np.exp(self.values["loss"])

    def summaries(self) -> dict[str, list[float | None]]:
        """Return one number per lane for every metric that has a value."""
        found = {name: [_mean(lane) for lane in values] for name, values in self.values.items()}
        for lane, corpus in enumerate(self._corpora):
            for name, value in corpus.totals().items():
                found[name][lane] = value
        for lane, (nll, tokens) in enumerate(self._losses):
            if tokens:
                found["loss"][lane] = nll / tokens
                found["perplexity"][lane] = float(np.exp(nll / tokens))
        return {name: found[name] for name in METRICS if name in found}

    def notes(self, losses: LossReader) -> list[str]:
        """Return sentences about what has no score."""
        failed = [f"{self._failed:,} answers failed, and have no score."] if self._failed else []
        return failed + losses.notes()


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _table(scorer: Scorer, info: ScoresInfo) -> pa.Table:
    """Return the scores as the table of scores.parquet; NaN becomes null."""
    columns = {scores.CLUSTER: pa.array(scorer.clusters)}
    for name, labels in scorer.traits.groups().items():
        columns[scores.GROUP + name] = pa.array(labels, pa.string()).dictionary_encode()
    for name in METRICS:
        if name in scorer.values:
            for lane, values in enumerate(scorer.values[name]):
                columns[scores.column_name(name, lane)] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns).replace_schema_metadata({scores.METADATA: json.dumps(info.model_dump()).encode()})
