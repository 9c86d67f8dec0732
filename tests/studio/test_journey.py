"""The bar above the tabs: each state of a STUDIO_HOME, and what it says comes next."""

import json
import os
import re
from html import unescape
from types import SimpleNamespace

import pytest

from core.access.roles import Caller, Role, acting
from core.data import sources, subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.evaluate.store import EvaluationState, EvaluationStore
from core.runs import example
from core.runs.config import QLoRAConfig
from core.settings import Settings
from studio.event_values import names_of
from studio.journey import TABS, JourneyBar


@pytest.fixture
def do(runs):
    return JourneyBar(runs, EvaluationStore(runs.settings))


@pytest.fixture
def with_example(do):
    example.install(Settings(home=do.settings.home, example=True))


@pytest.fixture
def own_subset(do):
    return subset.create(do.settings, "ten", Recipe(dataset=sources.open_bundled(do.settings).id, rows=10))


def give_adapter(run):
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    return run


def evaluate(do, run, status="finished", prompts=0):
    folder = do.settings.evaluations_dir / f"evaluation-of-{run.id}"[:90]
    folder.mkdir()
    config = {"schema_version": 1, "lanes": ["base", run.id], "prompts": "subset", "subset": "keeper"}
    (folder / "config.json").write_text(json.dumps(config))
    do.evaluations.folder_type(folder).save_state(EvaluationState(status=status, created=1.0, prompts=prompts))


def test_empty_home_points_to_the_quick_demo(do):
    journey = do.journey()
    assert tuple(journey.steps) == TABS
    assert journey.text == "Nothing is trained yet."
    assert [action.tab for action in journey.actions] == ["train"]
    assert journey.steps == {
        "data": "bundled data", "train": "no run", "chat": "no tuned model", "evaluate": "no evaluation",
        "export": "export",
    }  # fmt: skip


def test_example_alone_points_to_the_chat(do, with_example):
    journey = do.journey()
    assert journey.actions[0].tab == "chat"
    assert journey.steps["train"] == "example run"
    assert journey.steps["chat"] == "example model"


def test_new_subset_points_to_training_on_it_until_a_run_has(do, with_example, own_subset, a_run):
    journey = do.journey()
    assert journey.text == "The subset ten is ready."
    assert (journey.actions[0].tab, journey.actions[0].subset) == ("train", "ten")
    a_run(config=QLoRAConfig(subset="ten"))
    assert do.journey().text != journey.text


def test_opened_dataset_without_a_subset_comes_next_until_it_has_one(do, with_example, a_run, tmp_path):
    path = tmp_path / "weather.jsonl"
    path.write_text("".join(f'{{"prompt": "What is {n}?", "completion": "{n}"}}\n' for n in range(12)))
    opened = sources.open_file(do.settings, path)
    journey = do.journey()
    assert journey.text == "weather.jsonl is open."
    (action,) = journey.actions
    assert (action.tab, action.dataset) == ("data", opened.id)
    assert f'data-dataset="{opened.id}"' in do.render()["bar"]
    chosen = do.go(action.tab, action.subset, action.run, dataset=action.dataset)
    assert chosen["dataset"]["value"] == opened.id
    assert {"tabs", "tools"} < set(chosen)
    a_run(created=4e9)
    assert "is open" not in do.journey().text, "it was left aside for a run"
    subset.create(do.settings, "weather", Recipe(dataset=opened.id))
    assert do.journey().text == "The subset weather is ready."


def test_answers_opened_as_a_dataset_are_nothing_to_train_on(do, tmp_path):
    path = tmp_path / "answers-20260101-000000-keeper.jsonl"
    path.write_text('{"prompt": "What?", "completion": "That."}\n')
    sources.open_file(do.settings, path)
    assert do.journey().text == "Nothing is trained yet."


@pytest.mark.parametrize(("status", "text"), [("queued", "waits in the queue"), ("running", "is running")])
def test_run_that_has_not_ended_comes_before_all_else(do, own_subset, a_run, status, text):
    run = a_run(status=status)
    if status == "running":
        run.save_state(run.saved_state().with_process(os.getpid()))
    journey = do.journey()
    assert text in journey.text
    assert journey.actions[0].run == run.id
    assert journey.active == ((run.title,) if status == "running" else ())


def test_finished_run_points_to_chat_then_after_its_evaluation_to_export(do, a_run):
    run = give_adapter(a_run())
    assert [action.tab for action in do.journey().actions] == ["chat", "evaluate", "export"]
    evaluate(do, run)
    assert [action.tab for action in do.journey().actions] == ["export", "chat"]
    assert do.journey().steps["evaluate"] == "1 evaluation"
    assert set(do.journey().ended.values()) == {"finished"}


@pytest.mark.parametrize("status", ["preparing", "running", "stopped", "failed", "interrupted"])
def test_run_whose_evaluation_is_not_finished_still_offers_to_evaluate_it(do, a_run, status):
    evaluate(do, give_adapter(a_run()), status)
    assert [action.tab for action in do.journey().actions] == ["chat", "evaluate", "export"]


def test_stopped_run_with_an_adapter_is_a_result_before_the_example(do, with_example, a_run):
    stopped = a_run(status="stopped")
    assert do.journey().actions[0].run == "", "without an adapter it cannot answer"
    give_adapter(stopped)
    journey = do.journey()
    assert "ended at step 0, and its adapter can answer" in journey.text
    assert {action.run for action in journey.actions} == {stopped.id}
    assert (journey.steps["train"], journey.steps["chat"]) == ("1 run", "1 tuned model")
    assert example.newest_result(do.runs.runs()).id == stopped.id


def test_journey_proposes_only_what_a_visitor_may_do(do, with_example, own_subset, a_run):
    hidden = give_adapter(a_run())
    evaluate(do, hidden)
    with acting(Caller(Role.VISITOR, "x")):
        journey = do.journey()
    assert {action.tab for action in journey.actions} == {"chat", "data"}
    assert journey.steps["data"] == "1 subset", "anyone may see subsets of the bundled data"
    assert journey.steps["evaluate"] == "no evaluation"
    assert hidden.id not in str(journey)


def test_bar_escapes_names_and_lists_what_has_ended(do, a_run):
    run = a_run()
    run.save_label(run.label().model_copy(update={"name": '"><img src=x onerror=alert(1)>'}))
    page = do.render()["bar"]
    assert "<img" not in page
    ended = json.loads(unescape(re.search(r'data-ended="([^"]*)"', page)[1]))
    assert ended == {'"><img src=x onerror=alert(1)>': "finished"}


def test_buttons_choose_what_they_name_in_their_tab(do, own_subset, a_run):
    run = a_run()
    assert do.go("train", "ten", "")["subset"]["value"] == "ten"
    for tab, output in (("train", "run"), ("evaluate", "evaluate_run"), ("export", "export_run")):
        assert do.go(tab, "", run.id)[output]["value"] == run.id
    assert do.go("train", "", run.id)["views"]["selected"] == "run", "not the table of all runs"
    assert set(do.go("chat", "", run.id)) == {"tabs"}
    do.compare_with_base = lambda run_id, chat_id: {"lane_count": (chat_id, run_id)}
    assert do.go("chat", "", run.id, chat_id="a chat")["lane_count"] == ("a chat", run.id)
    assert {do.go(tab, "", "")["tabs"]["selected"] for tab in TABS} == set(TABS)


@pytest.mark.parametrize("values", [("nowhere", "", ""), ("train", "../x", ""), ("train", "", "../x")])
def test_values_that_no_button_sends_are_refused(do, values):
    with pytest.raises(StudioError):
        do.go(*values)
    with pytest.raises(StudioError):
        do.go("data", "", "", dataset="../x")


@pytest.mark.parametrize(
    ("kind", "values"),
    [("run", ("chat", "", "gone")), ("subset", ("train", "gone", "")), ("dataset", ("data", "", "", "gone"))],
)
def test_button_of_what_was_deleted_elsewhere_says_so_and_renews_the_bar(do, toasts, kind, values):
    updates = do.go(*values)
    assert set(updates) == {"bar"}, "no other tab is opened"
    assert "Nothing is trained yet" in updates["bar"]
    assert f"The {kind} gone is not there any more: it was deleted" in toasts[0]


def test_event_with_other_types_is_refused():
    with pytest.raises(StudioError, match="is no name"):
        names_of(SimpleNamespace(tab="train", subset=["x"], run=""), "tab", "subset", "run")


def test_evaluations_are_named_by_their_runs_and_prompts(do, a_run):
    run, other = a_run(status="finished"), a_run(status="finished")
    evaluate(do, run, prompts=34)
    evaluate(do, other, prompts=1)
    folder = do.settings.evaluations_dir / "damaged"
    folder.mkdir()
    do.evaluations.folder_type(folder).save_state(EvaluationState(status="failed", created=2.0))
    titles = do.runs.titles()
    named = {name for name in do.journey().ended if name.startswith("evaluation ")}
    assert named == {
        f"evaluation of {titles[run.id]} on 34 prompts",
        f"evaluation of {titles[other.id]} on 1 prompt",
        "evaluation of damaged on 0 prompts",
    }
