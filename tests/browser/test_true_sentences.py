"""Each tab with no, one and many runs, data sets and evaluations: no sentence of the page is false, early or late."""

import re
import shutil

import pytest

from core.data import sources, subset
from core.data.recipe import Recipe
from core.evaluate.store import EvaluationState, EvaluationStore
from core.runs import example
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from core.settings import Settings
from core.system.files import write_json
from tests.helpers.browser_pages import open_page, open_tab, wait_until
from tests.helpers.run_events import EVENTS, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("Data", "Train", "Chat", "Evaluate", "Export")
# Sentences that say that something is missing, with the kind that must then be missing.
CLAIMS = {
    r"No run yet": "runs",
    r"No run has an adapter yet": "adapters",
    r"Nothing is trained yet": "adapters",
    r"Train first": "adapters",
    r"no tuned model": "adapters",
    r"No evaluation yet": "evaluations",
    r"no evaluation\b": "evaluations",
    r"bundled data\b": "subsets",
}


def add_runs(store, count):
    """Add runs that consist of files only, each with the example's adapter."""
    for number in range(count):
        run = store.create(QLoRAConfig(subset=sources.BUNDLED, seed=number))
        shutil.copytree(example.FOLDER / "adapter", run.adapter)
        write(run, EVENTS)
        run.save_state(RunState(status="finished", created=1000.0 + number, ended=2000.0))


def add_evaluations(settings, count):
    store = EvaluationStore(settings)
    for number in range(count):
        folder = store.root / f"2026010{number + 1}-000000-keeper"
        folder.mkdir()
        config = {"schema_version": 1, "lanes": ["base"], "prompts": "subset", "subset": sources.BUNDLED}
        # The newest one is damaged where there are several, which the page must say.
        write_json(folder / "config.json", config if number < 2 else {"schema_version": 1, "prompts": "subset"})
        (folder / "prompts.jsonl").touch()
        (folder / "answers.jsonl").touch()
        store.folder_type(folder).save_state(EvaluationState(status="stopped", created=1.0 + number, ended=2.0))


def add_data(settings, count):
    for number in range(count):
        path = settings.home / f"more{number}.jsonl"
        path.write_text("".join(f'{{"prompt": "What is {n}?", "completion": "{n + number}"}}\n' for n in range(12)))
        opened = sources.open_file(settings, path)
        subset.create(settings, f"more{number}", Recipe(dataset=opened.id))


def count_all(settings):
    """Return how many of each kind a home has, without what comes with the studio."""
    runs = RunStore(settings).runs()
    return {
        "runs": len(runs),
        "adapters": sum(bool(run.adapters()) for run in runs),
        "evaluations": len(EvaluationStore(settings).folders()),
        "subsets": sum(found.name != sources.BUNDLED for found in subset.subsets(settings)),
    }


def false_claims(text, truth):
    return [claim for claim, kind in CLAIMS.items() if re.search(claim, text) and truth[kind]]


@pytest.mark.parametrize("count", [0, 1, 3], ids=["none", "one", "many"])
def test_no_tab_says_that_something_is_missing_that_exists(chromium, server, studio, count):
    if count == 1:
        example.install(Settings(home=studio.home, example=True))
    else:
        add_runs(RunStore(studio), count)
    add_evaluations(studio, count)
    add_data(studio, count)
    truth = count_all(studio)
    page = open_page(chromium, server, first="rows 1 to")
    found = []
    for tab in TABS:
        open_tab(page, tab)
        early = page.locator("body").inner_text()
        # A part that is still loading says so, and comes to an end.
        wait_until(lambda: "Loading" not in page.locator("body").inner_text(), page)
        page.wait_for_timeout(5_000)
        late = page.locator("body").inner_text()
        found += [f"{tab}: {claim}" for text in (early, late) for claim in false_claims(text, truth)]
    bar = page.locator("#journey").inner_text()
    assert found == []
    if count != 1:
        assert ("no run" if count == 0 else f"{count} runs") in bar
    assert (f"{count} evaluation" if count else "no evaluation") in bar
    assert page.errors == []
    page.close()
