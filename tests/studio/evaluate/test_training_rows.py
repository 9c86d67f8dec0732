"""The way from a poor answer to its training rows in the Data tab, and to the next run."""

import pytest

from core.data import subset
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from studio.evaluate.training_rows import TrainingRows


@pytest.fixture
def do(store, toasts):
    return TrainingRows(store)


@pytest.fixture
def evaluation(store, a_run):
    """An evaluation of two runs beside the base; the last one answers prompt 1 in words of its training rows."""
    first, second = a_run(created=1.0), a_run(created=2.0)
    made = store.create(EvaluationConfig(subset="keeper", lanes=["base", first.id, second.id], limit=3))
    text = "Ahoy! Wind the clockwork of the lamp and trim the wick at dusk."
    line = {"prompt": 1, "lane": 2, "text": text, "tokens": 9, "end": "end", "note": "", "exact": False, "f1": 0.1}
    LineWriter(made.answers_file).write([line])
    return made


def test_similar_rows_of_an_answer_open_in_the_data_tab(do, evaluation):
    offered = do.offer(evaluation.id, "1")
    assert (offered["prompt"], offered["lane"]["value"]) == (1, "2"), "the judged model is chosen"
    assert [value for _, value in offered["lane"]["choices"]] == ["1", "2"], "the base was trained on none of the rows"
    *_, found = do.find_rows(evaluation.id, 1, "2")
    assert "BM25" in found["rows"].partition("<table")[0]
    row = int(found["rows"].split('data-event="open_row" data-value="')[1].split('"')[0])
    wanted = do.open_row(found["source"], row)
    assert (wanted["dataset"], wanted["row"]) == (subset.find(do.settings, "keeper").recipe.dataset, row)
    assert do.open_row(found["source"], row) != wanted, "a second click opens the row again"
    with pytest.raises(StudioError, match="was added to the subset and is not in its dataset"):
        do.open_row(found["source"], 10_000)


@pytest.mark.parametrize(
    ("prompt", "lane", "message"),
    [
        (None, "2", "No prompt is open"),
        (7, "2", "This evaluation has no prompt 7"),
        (1, "1", "has not answered prompt 1 yet"),
        (1, "0", "Only a tuned model has training rows"),
        (1, "9", "Only a tuned model has training rows"),
        (1, None, "Only a tuned model has training rows"),
    ],
)
def test_search_without_an_answer_of_a_tuned_model_is_rejected(do, evaluation, prompt, lane, message):
    with pytest.raises(StudioError, match=message):
        list(do.find_rows(evaluation.id, prompt, lane))


def test_rows_are_offered_for_tuned_models_only(do, store):
    alone = store.create(EvaluationConfig(subset="keeper", lanes=["base"], limit=2))
    offered = do.offer(alone.id, "1")
    assert not any(offered[name]["visible"] for name in ("lane", "search", "again"))
    assert do.offer(None, "1") == do.offer(alone.id, "x") == do.clear()
    with pytest.raises(StudioError, match="No rows are listed yet"):
        do.open_row(None, 1)


def test_next_run_takes_the_newest_subset_of_the_same_dataset(do, evaluation, toasts):
    run = evaluation.config().lanes[2]
    assert do.next_run(evaluation.id, "2") == (run, "keeper")
    recipe = subset.find(do.settings, "keeper").recipe
    mended = subset.create(do.settings, "mended", recipe.model_copy(update={"excluded": [3]}))
    assert do.next_run(evaluation.id, "2") == (run, mended.name)
    assert ["No newer subset yet" in toasts[0], "Ready to train again" in toasts[1]] == [True, True]
