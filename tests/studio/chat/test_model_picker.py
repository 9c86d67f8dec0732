"""Who answers: which conversation, which base, which runs and checkpoints in which lane, with which settings."""

import json
import shutil

import pytest

from core.chat import conversation
from core.chat.conversation import MAX_LANES
from core.chat.sampling import Sampling
from core.errors import StudioError
from studio.chat.beside import Beside
from studio.chat.model_picker import ALL, NO_RUN

DEFAULTS = Sampling().model_dump()


def lanes(do, chat_id):
    return [(lane.run, lane.adapter) for lane in do.talking.find(chat_id).lanes]


def test_a_page_gets_a_conversation_and_finds_it_again(do):
    mine, chat_id = do.opened("")
    assert json.loads(mine) == [chat_id]
    assert do.opened(mine) == (mine, chat_id)


@pytest.mark.parametrize("mine", [
    None, "", "{", "7", "null", '{"a": 1}', "[7, null]", f'["{"0" * 32}"]', '["../runs"]', "[" * 5000,
])  # fmt: skip
def test_whatever_a_browser_says_it_gets_a_conversation_of_its_own(do, chat, mine):
    other = chat()
    listed, fresh = do.opened(mine)
    assert json.loads(listed)[0] == fresh != other


def test_a_new_chat_keeps_lanes_and_settings_and_the_old_one(do, tuned, chat):
    tuned()
    chat_id = chat(seed=4)
    mine = json.dumps([chat_id])
    assert do.new(chat_id, mine) == (mine, chat_id), "an empty one is new enough"
    with do.talking.changing(chat_id) as kept:
        kept.ask("Hi?")
    both, fresh = do.new(chat_id, mine)
    assert json.loads(both) == [fresh, chat_id]
    made = do.talking.find(fresh)
    assert (made.turns, made.settings["seed"], made.lanes) == ([], 4, do.talking.find(chat_id).lanes)
    listed = do.earlier(both, fresh)
    assert listed["choices"] == [("New chat", fresh), ("Hi?", chat_id)]
    assert listed["visible"]
    assert do.choose_earlier(chat_id, both) == (json.dumps([chat_id, fresh]), chat_id)


def test_the_newest_run_answers_beside_its_base(do, tuned, chat):
    tuned(created=1)
    newest = tuned(steps=(5,), created=2)
    chat_id = chat()
    assert lanes(do, chat_id) == [("", "final"), (newest.id, "final")]
    shown, hint = do.refresh(chat_id)
    assert hint == ""
    assert shown[0]["value"] == "tiny · unquantised · float32"
    assert shown[1] == 2


def test_before_the_first_run_the_way_is_said_and_a_finished_one_gets_a_lane(do, tuned, chat):
    chat_id = chat()
    assert do.refresh(chat_id)[1] == NO_RUN
    run = tuned()
    assert do.refresh(chat_id)[1] == ""
    assert lanes(do, chat_id)[1] == (run.id, "final")


def test_a_conversation_that_has_begun_keeps_its_lanes(do, tuned, chat):
    first = tuned(created=1)
    chat_id = chat()
    with do.talking.changing(chat_id) as kept:
        kept.ask("Hi?")
    tuned(created=2)
    do.refresh(chat_id)
    assert lanes(do, chat_id)[1] == (first.id, "final")


def test_a_lane_goes_with_the_newest_adapter_of_a_run_that_trains_until_another_is_chosen(do, tuned, chat):
    run = tuned(steps=(5,))
    final = run.adapter.rename(run.adapter.with_name("later"))
    followed, chosen = chat(), chat()
    with do.talking.changing(followed) as kept:
        kept.ask("Hi?")
    assert lanes(do, followed)[1] == lanes(do, chosen)[1] == (run.id, "step 5")
    do.choose_step(chosen, 1, 0)
    do.choose_count(chosen, 4)
    final.rename(run.adapter)
    shown, _ = do.refresh(followed)
    assert lanes(do, followed)[1] == (run.id, "final")
    assert shown[5]["label"] == "Checkpoint: final"
    do.refresh(chosen)
    assert [adapter for _, adapter in lanes(do, chosen)] == ["final", "base", "final", "final"]


def test_another_base_brings_its_own_runs(do, tuned, chat):
    tuned(created=2)
    other = tuned("other", created=1)
    chat_id = chat()
    shown = do.choose_base(chat_id, "other · unquantised")
    assert lanes(do, chat_id) == [("", "final"), (other.id, "final")]
    assert [run_id for _, run_id in shown[2]["choices"]] == ["", other.id]
    with pytest.raises(StudioError, match="no base model 'none such'"):
        do.choose_base(chat_id, "none such")


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (4, 4), (0, 1), (99, MAX_LANES)])
def test_lanes_are_added_with_runs_that_have_none_yet(do, tuned, chat, count, expected):
    runs = [tuned(created=at).id for at in (1, 2)]
    chat_id = chat()
    shown = do.choose_count(chat_id, count)
    found = [run for run, _ in lanes(do, chat_id)]
    assert len(found) == expected
    assert found[:3] == ["", *reversed(runs)][: min(3, expected)]
    visible = [shown[2 + 2 * at]["visible"] for at in range(MAX_LANES)]
    assert visible == [at < expected for at in range(MAX_LANES)]


def test_a_run_of_another_base_is_refused_with_the_reason(do, tuned, chat):
    tuned(created=2)
    other = tuned("other", created=1)
    chat_id = chat()
    with pytest.raises(StudioError, match="lanes share one copy of its weights"):
        do.choose_run(chat_id, 0, other.id)
    with pytest.raises(StudioError, match="none-such"):
        do.choose_run(chat_id, 0, "none-such")
    assert lanes(do, chat_id)[0] == ("", "final")


def test_the_slider_goes_from_the_base_over_the_checkpoints_to_the_last(do, tuned, chat):
    tuned(steps=(5, 10))
    chat_id = chat()
    names = []
    for place in range(4):
        shown = do.choose_step(chat_id, 1, place)
        names.append(lanes(do, chat_id)[1][1])
        assert shown[5]["label"] == f"Checkpoint: {names[-1]}"
        assert (shown[5]["value"], shown[5]["maximum"]) == (place, 3)
    assert names == ["base", "step 5", "step 10", "final"]
    do.choose_step(chat_id, 1, 99)
    assert lanes(do, chat_id)[1][1] == "final"
    do.choose_step(chat_id, 0, 1)  # the base has none, so nothing happens
    assert lanes(do, chat_id)[0] == ("", "final")


def test_settings_are_kept_for_all_or_for_one_lane(do, tuned, chat):
    tuned()
    chat_id = chat()
    do.keep_settings(chat_id, ALL, DEFAULTS | {"seed": 3})
    shown = do.other_scope(chat_id, ALL, "Lane 2", DEFAULTS | {"seed": 4})
    assert shown == ["Lane 2", *(DEFAULTS | {"seed": 4}).values()], "a lane has those of all until it gets its own"
    do.keep_settings(chat_id, "Lane 2", DEFAULTS | {"seed": 4, "temperature": 0})
    kept = do.talking.find(chat_id)
    assert kept.lanes[1].own == {"temperature": 0}
    assert (kept.sampling(0).temperature, kept.sampling(1).temperature) == (DEFAULTS["temperature"], 0)
    assert kept.sampling(0).seed == kept.sampling(1).seed == 4


@pytest.mark.parametrize("values", [{"temperature": 9}, {"max_new_tokens": 0}, {"top_p": 0}, {"seed": 0.5}])
def test_settings_out_of_bounds_are_refused_with_title_and_place(do, chat, values):
    [(name, value)] = values.items()
    title, chat_id = Sampling.model_fields[name].title, chat()
    with pytest.raises(StudioError, match=rf"{title} \(under Settings\).*given: {value}"):
        do.keep_settings(chat_id, ALL, DEFAULTS | values)
    with pytest.raises(StudioError, match=rf"{title} \(under Settings\) is empty"):
        do.keep_settings(chat_id, ALL, DEFAULTS | {name: None})


def test_a_page_of_another_browser_cannot_name_a_conversation(do, chat):
    """Only its id opens one, and ids are long and random."""
    chat_id = chat()
    assert conversation.load(do.settings, chat_id[:-1] + ("0" if chat_id[-1] != "0" else "1")) is None


def test_a_run_that_is_gone_is_named_in_its_lane_and_a_new_chat_does_without(do, tuned, chat):
    run = tuned()
    chat_id = chat()
    with do.talking.changing(chat_id) as kept:
        kept.ask("Hi?")
    shutil.rmtree(run.folder)
    shown, _ = do.refresh(chat_id)
    assert (f"{run.id} (gone)", run.id) in shown[4]["choices"]
    assert shown[4]["value"] == run.id
    assert Beside(do.talking).questions(chat_id)[1], "those of the bundled data"
    _, fresh = do.new(chat_id, json.dumps([chat_id]))
    assert lanes(do, fresh) == [("", "final")]
