import os
import time

import pytest

from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationState
from core.system.files import write_json
from studio.evaluate.evaluation_html import NO_EVALUATION
from studio.evaluate.evaluation_view import EvaluationView

BUTTONS = ("pause", "resume", "stop", "open")


@pytest.fixture
def do(store):
    return EvaluationView(store)


def enabled_buttons(updates):
    return {name for name in BUTTONS if updates[name]["interactive"]}


def test_render_without_an_evaluation_shows_how_to_start_one(do):
    shown = do.render(None, 1, 25)
    assert NO_EVALUATION in shown["status"]
    assert enabled_buttons(shown) == set()
    assert not any(shown[name]["visible"] for name in ("pause", "resume", "stop"))
    update = do.list_evaluations(None)["evaluation"]
    assert (update["choices"], update["value"]) == ([], None)


def test_render_shows_finished_prompts_in_the_order_of_their_answers(do, evaluated):
    shown = do.render(evaluated.id, 1, 25)
    assert "5 of 10 answers" in shown["status"]
    assert "<th>base</th><th>tuned</th>" in shown["metrics"]
    assert "So far, on 2 prompts that every model has answered:" in shown["metrics"]
    assert "<th>Ended by itself</th><td>50.0%</td><td>100.0%</td>" in shown["metrics"]
    assert "<th>Word F1</th><td>50.0%</td><td>50.0%</td>" in shown["metrics"]
    run = do.store.runs.run(evaluated.config().lanes[1])
    assert f"tuned is {run.title}." in shown["notes"]
    assert run.id not in shown["notes"]
    assert "5 prompts: all rows of the subset keeper." in shown["notes"]
    table = shown["table"]
    assert table.index('data-value="3"') < table.index('data-value="1"')
    assert 'data-value="0"' not in table, "one lane is missing"
    assert "checkbox" not in table
    assert (shown["page"], shown["position"]) == (1, "rows 1 to 2 of 2, page 1 of 1")
    assert enabled_buttons(shown) == {"resume", "open"}
    page = do.show_page(evaluated.id, 2, 1)
    assert (page["page"], page["position"]) == (2, "rows 2 to 2 of 2, page 2 of 2")


def test_render_finished_evaluation_is_in_the_order_of_its_prompts(do, evaluated):
    evaluated.save_state(evaluated.saved_state().model_copy(update={"status": "finished"}))
    for table in (do.render(evaluated.id, 1, 25)["table"], do.show_page(evaluated.id, 1, 25)["table"]):
        assert table.index('data-value="1"') < table.index('data-value="3"')


def test_list_evaluations_names_the_prompts_and_no_id(do, evaluated, a_run):
    run = a_run()
    do.store.create(EvaluationConfig(subset="keeper", lanes=["base"], limit=5))
    config = EvaluationConfig(prompts="held-out", run=run.id, lanes=["base"], limit=2)
    do.store.create(config)
    labels = [label for label, _ in do.list_evaluations(None)["evaluation"]["choices"]]
    assert labels[0].startswith(f"Held-out rows of {do.store.runs.titles()[run.id]} · ")
    assert all(label.startswith("All rows of the subset keeper · ") for label in labels[1:])
    assert len(set(labels)) == 3


def test_render_hostile_answers_stay_text(do, evaluated):
    table = do.render(evaluated.id, 1, 25)["table"]
    assert "<img" not in table
    assert "&lt;img" in table


def test_poll_updates_only_what_changed(do, evaluated):
    first = do.poll("", "", evaluated.id, 1, 25)
    assert {"evaluation", "status", "table", "list_fingerprint"} <= set(first)
    known = (first["fingerprint"], first["list_fingerprint"])
    assert do.poll(*known, evaluated.id, 1, 25) == {}
    LineWriter(evaluated.answers_file).write([{"prompt": 0, "lane": 1, "text": "", "tokens": 0, "end": "end"}])
    updates = do.poll(*known, evaluated.id, 1, 25)
    assert not {"evaluation", "list_fingerprint"} & set(updates)
    assert updates["fingerprint"] != first["fingerprint"]
    assert "rows 1 to 3 of 3" in updates["position"]


def test_poll_names_the_evaluations_that_have_ended(do, evaluated):
    state = evaluated.saved_state()
    evaluated.save_state(state.model_copy(update={"status": "running"}).with_process(os.getpid()))
    first = do.poll("", "", evaluated.id, 1, 25)
    assert first["ended"] == []
    evaluated.save_state(state)
    assert do.poll(first["fingerprint"], first["list_fingerprint"], evaluated.id, 1, 25)["ended"] == [evaluated.id]


def test_select_evaluation_starts_at_the_first_page(do, evaluated):
    shown = do.select_evaluation(evaluated.id, 25)
    assert shown["fingerprint"] == do.fingerprint(evaluated.id)
    assert shown["page"] == 1
    assert shown["selection"] == {}


@pytest.mark.parametrize(
    ("status", "text"),
    [("paused", "appears here when"), ("stopped", "ended before all prompts"), ("failed", "ended before all prompts")],
)
def test_render_without_scores_promises_a_verdict_only_if_it_goes_on(do, evaluated, status, text):
    evaluated.save_state(evaluated.saved_state().model_copy(update={"status": status}))
    assert text in do.render(evaluated.id, 1, 25)["verdict"]


def test_render_unreadable_evaluation_shows_the_cause(do, evaluated):
    (evaluated.folder / "state.json").write_text("{")
    assert "cannot be read" in do.render(evaluated.id, 1, 25)["status"]


def test_render_waiting_evaluation_shows_its_stage_and_the_time_so_far(do, evaluated):
    state = evaluated.saved_state().model_copy(
        update={"status": "preparing", "stage": "Loading tiny", "started": time.time() - 65}
    )
    evaluated.save_state(state.with_process(os.getpid()))
    assert "Loading tiny, 1 min 05 s so far, 5 of 10 answers" in do.render(evaluated.id, 1, 25)["status"]
    first = do.fingerprint(evaluated.id)
    time.sleep(1)
    assert do.fingerprint(evaluated.id) != first, "so that the seconds go on"


def test_damaged_evaluation_says_why_in_place_of_its_answers(do):
    folder = do.store.root / "20260101-000000-keeper"
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"schema_version": 1, "prompts": "subset"})
    do.store.folder_type(folder).save_state(EvaluationState(status="stopped", created=1.0, ended=2.0))
    shown = do.select_evaluation(folder.name, 25)
    assert "no subset is named" in shown["status"]
    assert enabled_buttons(shown) == set()
