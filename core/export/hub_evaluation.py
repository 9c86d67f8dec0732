"""Files of an evaluation for the Hub: its answers as a table, its settings, metrics and verdict, and a card."""

from pathlib import Path

from core.data.export import write_rows
from core.evaluate import prompts, result, scoring
from core.evaluate.lineage import usual_lanes
from core.evaluate.metrics import METRICS
from core.evaluate.scores import Scores
from core.evaluate.store import Evaluation, EvaluationStore
from core.evaluate.verdict import Verdict, judge
from core.system.counting import counted
from core.system.files import write_json
from core.system.jobs import Progress
from core.system.markdown import plain, table

ANSWERS = "answers"


def write_files(store: EvaluationStore, evaluation: Evaluation, folder: Path, progress: Progress) -> None:
    """Write answers.parquet, evaluation.json and README.md.

    Args:
        store: The evaluations.
        evaluation: The evaluation.
        folder: Where to write them.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: No prompt is finished yet.
    """
    write_rows(folder, ANSWERS, "parquet", result.iterate_rows(store, evaluation, progress))
    scores = scoring.load(evaluation)
    lanes, config = evaluation.lane_titles(store.runs), evaluation.config()
    chosen = usual_lanes(config.lanes, store.runs)
    verdict = judge(scores, *chosen) if chosen else None
    write_json(
        folder / "evaluation.json",
        {
            "settings": config.model_dump(mode="json"),
            "lanes": lanes,
            "metrics": {title: _means(scores, lane) for lane, title in enumerate(lanes)},
            "verdict": verdict.as_json() if verdict else None,
        },
    )
    (folder / "README.md").write_text(_card(evaluation, lanes, scores, verdict), encoding="utf-8")


def _means(scores: Scores, lane: int) -> dict[str, float]:
    """Return the known metrics of a lane by their names."""
    found = {metric.name: scores.summary(metric.name, lane) for metric in scores.metrics}
    return {name: float(value) for name, value in found.items() if value is not None}


def _card(evaluation: Evaluation, lanes: list[str], scores: Scores, verdict: Verdict | None) -> str:
    config = evaluation.config()
    means = [_means(scores, lane) for lane in range(len(lanes))]
    rows = [
        [plain(METRICS[name].title), *(METRICS[name].format(each[name]) if name in each else "" for each in means)]
        for name in METRICS
        if any(name in each for each in means)
    ]
    finished = len(evaluation.finished(evaluation.answers()))
    sentence = f"{plain(verdict.sentence)}\n\n" if verdict else ""
    return f"""---
pretty_name: Evaluation {evaluation.id}
tags: [qlora-studio, evaluation]
configs:
- config_name: default
  data_files:
  - split: test
    path: {ANSWERS}.parquet
---
# Evaluation {plain(evaluation.id)}

{sentence}{counted(finished, "prompt")} of {plain(prompts.describe(config))}, answered by {plain(", ".join(lanes))}. \
{plain(config.describe_settings())}, seed {config.seed}.

{chr(10).join(table(["Metric", *map(plain, lanes)], rows))}

`{ANSWERS}.parquet` has one row per prompt with the answers and metrics of each model; `evaluation.json` has the \
settings, the metrics and the verdict with its intervals.
"""
