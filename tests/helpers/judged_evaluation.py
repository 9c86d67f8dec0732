"""A finished evaluation of two lanes, written by hand: nothing is generated."""

import json

from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore

PROMPTS = 30


def judged_evaluation(settings, folder, guard=False):
    """Return the store and the evaluation; answer 1 of each prompt is "good", answer 0 is "plain".

    Args:
        settings: The settings of the home.
        folder: Where the file of prompts is written.
        guard: Whether the probes of the forgetting guard are asked, too.
    """
    questions = folder / "prompts.jsonl"
    questions.write_text("".join(json.dumps({"prompt": f"Question {n}?"}) + "\n" for n in range(PROMPTS)))
    store = EvaluationStore(settings)
    config = EvaluationConfig(file="prompts.jsonl", lanes=["base", "run-1"], guard=guard)
    evaluation = store.create(config, questions)
    writer = LineWriter(evaluation.answers_file)
    for prompt in range(len(evaluation.prompts())):
        for lane, text in enumerate(("plain", "good")):
            line = {"prompt": prompt, "lane": lane, "text": text, "tokens": 1, "end": "end", "note": ""}
            writer.write([line | {"exact": None, "f1": None}])
    writer.close()
    return store, evaluation
