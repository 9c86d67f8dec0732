"""Tests of the drawer of one prompt, and of the panel of copied spans."""

import math

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.evaluate.line_file import LineWriter
from core.evaluate.memorization import tracing
from studio.data.page_state import open_source_row
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.prompt_drawer import COPIED, LIKELIHOOD, TEXT, PromptDrawer
from studio.evaluate.trace_panel import TraceActions
from studio.source_rows import row_to_open, source_of
from tests.helpers.traced_answers import COPIED as SPAN
from tests.helpers.traced_answers import evaluation_of, run_on, training_rows

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def traced(settings, tmp_path, small_tokenizer):
    """Return the view and an evaluation; the answers of the run to prompt 0 have a copied span."""
    store, run = run_on(settings, tmp_path, small_tokenizer, training_rows(), held_out_share=0)
    answers = [[HOSTILE, "No."], [f"{HOSTILE} {SPAN}! {SPAN}?", "Never."]]
    return EvaluationView(store), evaluation_of(store, ["base", run.id], answers), run


def choices(updates):
    return [value for _, value in updates["marks"]["choices"]]


def test_show_prompt_shows_the_answers_in_full(store, evaluated):
    do = PromptDrawer(EvaluationView(store))
    shown = do.show(evaluated.id, "1")
    assert "Reference" in shown["prompt"]
    assert "truncated at the length limit" in shown["prompt"]
    assert "cut short" in shown["prompt"]
    assert (shown["shown"], shown["marks"]["visible"], shown["marks"]["value"]) == ("1", False, TEXT)
    assert "<img" not in do.show(evaluated.id, "3")["prompt"]
    assert do.show(evaluated.id, "no number") == do.clear()
    assert "Click a row" in do.clear()["prompt"]
    with pytest.raises(StudioError, match="Expected 0 to 4"):
        do.show(evaluated.id, "5")
    # Marks of another evaluation.
    assert do.show(evaluated.id, "1", LIKELIHOOD)["marks"]["value"] == TEXT


def test_copied_spans_are_buttons_longest_first_and_text_stays_text(traced):
    view, evaluation, run = traced
    do = PromptDrawer(view)
    tracing.trace(view.store.runs, evaluation, run.id)
    plain = do.show(evaluation.id, "0")
    assert (choices(plain), plain["marks"]["visible"]) == ([TEXT, COPIED], True)
    assert "ev-copied" not in plain["prompt"]
    shown = do.show(evaluation.id, "0", COPIED, first="0", second="1")["prompt"]
    assert "<img" not in shown
    assert "No span stands in the training rows." in shown, "of base"
    assert shown.count('<span class="ev-copied') == 2
    assert shown.count('data-row="7"') == 4, "each span and its entry in the list"
    assert f"{SPAN}</span>!" in shown
    assert shown.count("tokens, row 7<") == 2
    assert view.store.runs.titles()[run.id] in shown


def test_likelihood_colors_tokens_by_the_difference_of_the_lanes(traced):
    view, evaluation, _ = traced
    do = PromptDrawer(view)
    losses = [[0.1, 3.0, 1.0, 5.0, 1.0], [3.0, 0.1, 2.0, 4.0, 1.2]]
    line = {
        "prompt": 0,
        "lane": 1,
        "tokens": [HOSTILE, "b", "c", "\n", "e"],
        "losses": losses,
        "cut": False,
        "note": "",
    }
    unread = {
        "prompt": 0,
        "lane": 0,
        "tokens": ["x"],
        "losses": [[1.0], None],
        "cut": False,
        "note": "another template.",
    }
    LineWriter(evaluation.lens_file).write([line, unread])
    assert choices(do.show(evaluation.id, "0")) == [TEXT, LIKELIHOOD]
    shown = do.show(evaluation.id, "0", LIKELIHOOD)["prompt"]
    assert "<img" not in shown
    for tone, title in (
        ("less2", "−2.90 nats: tuned 5.0%, base 90.5%"), ("more2", "+2.90 nats: tuned 90.5%, base 5.0%"),
        ("less1", "−1.00 nats"), ("more1", "+1.00 nats"), ("same", "−0.20 nats"),
    ):  # fmt: skip
        assert f'class="lens-{tone}" title="{title}' in shown
    mean = sum(losses[0]) / 5
    assert f"base: {mean:.3f} nats per token, perplexity {math.exp(mean):.2f}; tuned: " in shown
    assert "How likely tuned finds a token, compared with base:" in shown
    # The other way round, and a prompt without a line.
    other = do.show(evaluation.id, "0", LIKELIHOOD, first="1", second="0")["prompt"]
    assert 'class="lens-more2" title="+2.90 nats: base 90.5%, tuned 5.0%' in other
    missing = do.show(evaluation.id, "1", LIKELIHOOD)["prompt"]
    assert "Never." in missing
    assert missing.count("No likelihood: the models have not read this answer yet.") == 2
    assert "No likelihood: another template." in shown


def test_trace_job_shows_the_shares_and_opens_rows(traced, jobs, tokenizers_in_jobs):
    view, evaluation, _ = traced
    do = TraceActions(view, jobs)
    assert do.show(None) == do.show(evaluation.id) == {"copied": "", "spans": ""}
    updates = list(do.trace(evaluation.id, "0", "1"))
    last = updates[-1]
    assert "share copied from the training rows rose from 0.0% to" in last["copied"]
    assert SPAN in last["spans"]
    assert do.show(evaluation.id, "0", "1") == {"copied": last["copied"], "spans": last["spans"]}
    for wanted in (do.open_span(evaluation.id, "0"), do.open_row(evaluation.id, "7")):
        opened = open_source_row(wanted["row_wanted"], {})
        assert opened["opened"] == 7
        assert opened["dataset"] in [data.name for data in view.store.settings.datasets_dir.iterdir()]
    with pytest.raises(StudioError, match="Trace the answers again"):
        do.open_span(evaluation.id, "99")
    with pytest.raises(StudioError, match="Click a colored span"):
        do.open_row(evaluation.id, "x")
    with pytest.raises(StudioError, match="No evaluation is selected"):
        next(do.trace(None))


def test_row_that_a_recipe_added_is_in_no_dataset(traced):
    view, _, _ = traced
    settings = view.store.settings
    first = subset.find(settings, "rows").recipe
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Ahoy."}]
    known = subset.create(settings, "more", Recipe(dataset=first.dataset, held_out_share=0, added=[turns]))
    assert row_to_open(settings, source_of(known), 29)["row"] == 29
    with pytest.raises(StudioError, match="Row 30 was added to the subset"):
        row_to_open(settings, source_of(known), 30)
