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
from core.evaluate.metrics.bertscore import BertScorer
from core.evaluate.metrics.form import form_scores, language_kept
from core.evaluate.metrics.overlap import CorpusScorer, overlap_scores
from core.evaluate.metrics.source import source_scores
from core.evaluate.prompts import Prompt
from core.evaluate.scores import Scores, ScoresInfo
from core.evaluate.store import Evaluation
from core.evaluate.task import FoundTask, find_task
from core.evaluate.traits import Traits
from core.settings import Settings
from core.system.counting import counted
from core.system.files import replacing
from core.system.jobs import Progress, ignore_progress
from core.system.process_limits import is_memory_error

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
    task = find_task(evaluation.config().task, itertools.islice(prompts, count))
    scorer = Scorer(count, len(evaluation.config().lanes), task)
    for index, prompt in enumerate(itertools.islice(prompts, count)):
        if index % _REPORT_PROMPTS == 0:
            progress(index / count, f"Prompts scored: {index:,} of {count:,}")
        scorer.add(index, prompt, answers.read(index))
    scorer.add_losses(losses)
    encoder_notes = _add_bert_scores(evaluation, scorer, task, count, progress)
    for name, values in label_scores(evaluation, count).items():
        scorer.values[name] = values
    info = ScoresInfo(
        version=VERSION, sources=sizes, lanes=scorer.lanes, summaries=scorer.summaries(), task=task.name,
        notes=[task.why, *encoder_notes, *scorer.notes(losses, evaluation.config().loss_rows)],
    )  # fmt: skip
    path = evaluation.folder / scores.FILE
    with replacing(path) as temporary:
        pq.write_table(_table(scorer, info), temporary, compression="zstd")
    progress(1.0, "Scored")
    return Scores(path)


def _add_bert_scores(
    evaluation: Evaluation, scorer: "Scorer", task: FoundTask, count: int, progress: Progress
) -> list[str]:
    """Add BERTScore, if a model is chosen and the task has it; return sentences about the model, or what is missing."""
    name = evaluation.config().bert_score
    if not name:
        return []
    if "bert_score" not in task.metrics:
        return [f"BERTScore is not computed, because the task is {task.name}."]
    settings = Settings(home=evaluation.folder.parent.parent)
    try:
        encoder = BertScorer(settings, name)
        scorer.add_bert_scores(encoder, evaluation, count, progress)
    except StudioError as error:
        return [f"BERTScore is missing: {error}"]
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        return [f"BERTScore is missing: memory ran out while {name} compared the answers. Choose a smaller model."]
    return [encoder.note]


class Scorer:
    """Values of all metrics, filled prompt by prompt.

    Attributes:
        lanes: Number of lanes.
        values: (lanes, prompts), float64, by metric; NaN where a metric has no value.
        clusters: Row in the source of each prompt.
        traits: Groups of the prompts.
    """

    def __init__(self, prompts: int, lanes: int, task: FoundTask | None = None):
        """Start without values.

        Args:
            prompts: Number of prompts.
            lanes: Number of lanes.
            task: The task, which decides the metrics and the labels; None for all metrics.
        """
        self.lanes, self._metrics = lanes, frozenset(task.metrics if task else METRICS)
        self.values: dict[str, np.ndarray] = defaultdict(lambda: np.full((lanes, prompts), math.nan))
        self.clusters = np.zeros(prompts, dtype=np.int64)  # (prompts,)
        self._detect: Callable[[str], str | None] = language_detector()
        self.traits = Traits(self._detect, task.labels if task else None)
        self._corpora = [CorpusScorer() for _ in range(lanes)]
        # Sum of the losses in nats and number of tokens, by lane.
        self._losses = np.zeros((lanes, 2))
        self._failed = self._references = 0

    def add(self, index: int, prompt: Prompt, lines: list[Line | None]) -> None:
        """Score the answers of all lanes to a prompt; lanes without an answer, or a failed one, get no value."""
        self.clusters[index] = prompt.row
        self._references += bool(prompt.reference.strip())
        language = self.traits.add(prompt)
        expected = (self._detect(prompt.reference) if prompt.reference.strip() else None) or language
        for lane, line in enumerate(lines):
            if line is None or line["end"] == "failed":
                self._failed += line is not None
                continue
            text = line["text"]
            found = {
                **overlap_scores(text, prompt.reference),
                **(self._corpora[lane].add(text, prompt.reference) if "bleu" in self._metrics else {}),
                **form_scores(text, line["tokens"], line["end"]),
                **source_scores(text, prompt.question),
            }
            if (kept := language_kept(expected, self._detect(text))) is not None:
                found["language_kept"] = kept
            for name in found.keys() & self._metrics:
                self.values[name][lane, index] = found[name]

    def add_losses(self, losses: LossReader) -> None:
        """Add the losses of the references."""
        for (prompt, lane), (nll, tokens) in losses.sums.items():
            self.values["loss"][lane, prompt] = nll / tokens
            self._losses[lane] += nll, tokens
        if "loss" in self.values:
            self.values["perplexity"] = np.exp(self.values["loss"])

    def add_bert_scores(self, encoder: BertScorer, evaluation: Evaluation, count: int, progress: Progress) -> None:
        """Add BERTScore of all answers with a reference, a batch at a time."""
        answers, prompts = evaluation.answers(), iter(enumerate(itertools.islice(evaluation.prompts(), count)))
        values = np.full((self.lanes, count), math.nan)
        while batch := list(itertools.islice(prompts, _REPORT_PROMPTS)):
            progress(batch[0][0] / count, f"Prompts compared by BERTScore: {batch[0][0]:,} of {count:,}")
            pairs = [
                (lane, index, line["text"], prompt.reference)
                for index, prompt in batch
                for lane, line in enumerate(answers.read(index))
                if line is not None and line["end"] != "failed" and prompt.reference.strip()
            ]
            found = encoder.score([text for _, _, text, _ in pairs], [reference for *_, reference in pairs])
            for (lane, index, *_), value in zip(pairs, found, strict=True):
                values[lane, index] = value
        self.values["bert_score"] = values

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

    def notes(self, losses: LossReader, loss_rows: int) -> list[str]:
        """Return sentences about what has no score.

        Args:
            losses: The losses of references.
            loss_rows: Number of rows whose losses were asked for; 0 for all.
        """
        notes = [f"Without a score, because they failed: {counted(self._failed, 'answer')}."] if self._failed else []
        prompts = len(self.clusters)
        if 0 < self._references < prompts:
            notes.append(
                f"{self._references:,} of {counted(prompts, 'row')} have a reference; metrics that need one leave the "
                "others out."
            )
        if 0 < loss_rows < self._references:
            notes.append(
                f"Loss and perplexity are those of {loss_rows:,} of {counted(self._references, 'row')} with a "
                "reference, evenly spread, as the setting Rows with a loss asks for."
            )
        return notes + losses.notes()


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
