"""A finished evaluation of two lanes with references, losses and scores, written by hand: nothing is generated."""

import json
import time

import numpy as np

from core.evaluate import scoring
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore

WORDS = ["the", "sea", "and", "the", "light", "of", "a", "lamp", "in", "the", "night"]


def scored_evaluation(settings, folder, gain=0.5, prompts=40, scored=True, **config):
    """Return the store and the evaluation.

    Args:
        settings: The settings of the home.
        folder: Where the file of prompts is written.
        gain: How much lower the loss of lane 1 is than that of lane 0, in nats per token.
        prompts: Number of prompts; every fourth is in German.
        scored: Whether scores.parquet is written.
        config: Further settings of the evaluation.
    """
    questions = folder / "questions.jsonl"
    texts = [f"What is number {n}?" if n % 4 else f"Was ist die Nummer {n}, bitte?" for n in range(prompts)]
    rows = [{"prompt": text, "completion": f"It is {n} and {' '.join(WORDS)}."} for n, text in enumerate(texts)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = EvaluationStore(settings)
    evaluation = store.create(EvaluationConfig(file=questions.name, lanes=["base", "run-1"], **config), questions)
    random = np.random.default_rng(3)
    answers, losses = LineWriter(evaluation.answers_file), LineWriter(evaluation.losses_file)
    for prompt in range(len(evaluation.prompts())):
        for lane in (0, 1):
            text = f"It is {prompt} and {' '.join(WORDS[: 4 + 4 * lane])}."
            line = {"prompt": prompt, "lane": lane, "text": text, "tokens": 9, "end": "end", "note": ""}
            answers.write([line | {"exact": False, "f1": 0.5}])
            if prompt < prompts:
                nll = 12 * (2.5 - gain * lane + random.normal(0, 0.2))
                losses.write([{"prompt": prompt, "lane": lane, "nll": nll, "tokens": 12, "cut": False, "note": ""}])
    answers.close()
    losses.close()
    state = evaluation.saved_state().model_copy(update={"status": "finished", "ended": time.time()})
    evaluation.save_state(state)
    if scored:
        scoring.score(evaluation)
    return store, evaluation
