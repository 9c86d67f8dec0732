"""Duplicate a run and change it: the form, the difference that it shows, and the parent that the new run stores."""

import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.progress import progress
from core.runs.store import Label
from studio.train.duplicate import Duplication, parent_of
from studio.train.run_html import notes_html
from tests.helpers.hostile_text import ParsedHtml
from tests.helpers.run_events import HOSTILE


@pytest.fixture
def do(runs):
    return Duplication(runs)


def form(run, **values):
    return run.config().model_dump() | values


def test_duplicate_fills_every_field_and_remembers_the_parent(do, a_run):
    run = a_run(config=QLoRAConfig(lora_rank=3))
    filled = do.duplicate(run.id)
    parent = parent_of(filled.pop("parent"))
    assert filled == run.config().model_dump()
    assert (parent.run, parent.config) == (run.id, run.config())
    with pytest.raises(StudioError, match="No run is selected"):
        do.duplicate(None)
    assert parent_of(None) is None


def test_compare_shows_what_differs_from_the_parent_also_while_a_field_is_empty(do, a_run):
    run = a_run(config=QLoRAConfig(learning_rate=2e-3))
    parent = do.duplicate(run.id)["parent"]
    shown = do.compare(parent, **form(run))
    assert "Change at least one setting" in shown["copy_text"]
    shown = do.compare(parent, **form(run, learning_rate=1e-3, lora_rank=None))
    words = ParsedHtml(shown["copy_text"]).text
    assert "Learning rate 2e-3 → 1e-3" in words
    assert "Rank 16 → –" in words
    assert do.compare(do.forget()["parent"], **form(run)) == {"copy_text": ""}


def test_parent_with_a_hostile_name_stays_text(do, runs, a_run):
    run = a_run()
    run.save_label(Label(name=HOSTILE[:90]))
    parent = do.duplicate(run.id)["parent"]
    assert "<script" not in do.compare(parent, **form(run))["copy_text"]
    copy = runs.create(QLoRAConfig(lora_rank=8), parent=parent_of(parent))
    made = notes_html(copy, progress([]))
    assert "<script" not in made
    assert "Rank 16 → 8" in ParsedHtml(made).text
