"""Finished evaluations whose scores are written by hand: no model answers anything."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.evaluate import scores
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.metrics import VERSION
from core.evaluate.scores import ScoresInfo
from core.runs.store import Parent
from core.system.files import write_json

PROMPTS = 30


def board_evaluation(store, folder, lanes, created=1.0, topic="", metric="loss", text="answer", **settings):
    """Return a finished evaluation of `PROMPTS` prompts.

    Args:
        store: The evaluations.
        folder: Where the file of prompts is written.
        lanes: Values of the metric, (PROMPTS,) or one number for all rows up to noise, by lane.
        created: When it was created; the list is sorted by it.
        topic: Other topics are other prompts.
        metric: The metric.
        text: What every lane has answered, before the number of the prompt.
        **settings: Further settings of the evaluation.
    """
    file = folder / "questions.jsonl"
    lines = [json.dumps({"prompt": f"{topic} question {n}?", "completion": f"Answer {n}."}) for n in range(PROMPTS)]
    file.write_text("\n".join(lines) + "\n")
    evaluation = store.create(EvaluationConfig(file=file.name, lanes=list(lanes), **settings), file)
    writer = LineWriter(evaluation.answers_file)
    for prompt in range(PROMPTS):
        for lane in range(len(lanes)):
            line = {"prompt": prompt, "lane": lane, "text": f"{text} {prompt}", "tokens": 2, "end": "end", "note": ""}
            writer.write([line | {"exact": None, "f1": 0.5}])
    writer.close()
    noise = np.random.default_rng(0).normal(0, 0.05, (len(lanes), PROMPTS))
    values = [np.broadcast_to(value, PROMPTS) + noise[n] for n, value in enumerate(lanes.values())]
    info = ScoresInfo(
        version=VERSION, sources=scores.source_sizes(evaluation), lanes=len(lanes),
        summaries={metric: [float(np.mean(value)) for value in values]},
    )  # fmt: skip
    columns = {scores.CLUSTER: np.arange(PROMPTS)}
    columns |= {scores.column_name(metric, lane): value for lane, value in enumerate(values)}
    table = pa.table(columns).replace_schema_metadata({scores.METADATA: json.dumps(info.model_dump()).encode()})
    pq.write_table(table, evaluation.folder / scores.FILE)
    state = evaluation.saved_state()
    evaluation.save_state(state.model_copy(update={"status": "finished", "created": created, "precision": "none"}))
    return evaluation


def duplicate(run, parent):
    """Record that a run was duplicated from another one."""
    write_json(run.parent_file, Parent(run=parent.id, title=parent.title, config=parent.config()).model_dump())
    return run
