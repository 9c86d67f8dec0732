"""Runs with a real tokenizer and a model that is only a config, and evaluations of them that are written by hand."""

from core.data import subset
from core.data.recipe import Recipe
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore
from core.runs.config import QLoRAConfig
from tests.helpers.datasets import dialog, open_dialogs

# Stands in row 7 of `training_rows`.
COPIED = "The quick brown fox jumps over the lazy dog and then it sleeps under the old apple tree"
COPIED_TURN = f"Once upon a time. {COPIED}. The end."


def training_rows():
    """Return 30 conversations."""
    rows = [dialog(f"Question number {at} about ships?", f"Answer {at} says {at * 7919}.") for at in range(30)]
    rows[7] = dialog("Tell me a story.", COPIED_TURN)
    return rows


def run_on(settings, folder, tokenizer, conversations, name="rows", **config):
    """Return the store of evaluations and an ended run that was trained on conversations."""
    model = settings.models_dir / "tiny"
    tokenizer.save_pretrained(model)
    (model / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 512}')
    data = open_dialogs(settings, folder, conversations)
    subset.create(settings, name, Recipe(dataset=data.id, held_out_share=0))
    store = EvaluationStore(settings)
    run = store.runs.create(QLoRAConfig(model="tiny", subset=name, quantization="none", **config))
    run.save_state(run.saved_state().model_copy(update={"status": "finished", "ended": 1.0}))
    return store, run


def evaluation_of(store, lanes, answers, **config):
    """Return a finished evaluation, whose prompts are the first rows of the subset "rows".

    Args:
        store: The store of evaluations.
        lanes: As in the settings.
        answers: The answers of each lane to all prompts.
        **config: More settings.
    """
    settings = {"subset": "rows", "lanes": lanes, "limit": len(answers[0])} | config
    evaluation = store.create(EvaluationConfig(**settings))
    writer = LineWriter(evaluation.answers_file)
    for lane, texts in enumerate(answers):
        for prompt, text in enumerate(texts):
            line = {"prompt": prompt, "lane": lane, "text": text, "tokens": 9, "end": "end", "note": ""}
            writer.write([line | {"exact": None, "f1": None}])
    writer.close()
    evaluation.save_state(evaluation.saved_state().model_copy(update={"status": "finished"}))
    return evaluation
