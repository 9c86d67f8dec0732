"""The base model, and the run and checkpoint of each lane."""

import json
import shutil

import pytest

from core.chat.requests import base_identity, resolve_lanes
from core.chat.sampling import Sampling
from core.chat.turns import MAX_LANES, LaneChoice
from core.chat.types import LaneRequest
from core.errors import StudioError
from core.export.card.facts import folder_name
from core.runs.store import RunState
from studio.chat.model_picker import NO_RUN
from tests.helpers.chat_page import send


def lanes(parts, chat_id):
    return [(lane.run, lane.adapter) for lane in parts.conversations.find(chat_id).lanes]


def test_refresh_empty_conversation_has_base_and_newest_run(parts, tuned, chat):
    tuned(created=1)
    newest = tuned(steps=(5,), created=2)
    chat_id = chat()
    assert lanes(parts, chat_id) == [("", "final"), (newest.id, "final")]
    updates = parts.picker.refresh(chat_id)
    assert updates["hint"] == ""
    labels = {key: label for label, key in updates["base"]["choices"]}
    assert labels[updates["base"]["value"]] == "tiny · unquantized · float32"
    assert updates["lane_count"] == 2


def test_classifier_answers_alone(parts, tuned, chat):
    tuned(created=1)
    classifier = tuned(task="classify", created=2)
    chat_id = chat()
    assert lanes(parts, chat_id) == [(classifier.id, "final")]
    other = chat()
    parts.picker.choose_base(other, parts.picker.default_base().key)
    with parts.conversations.change(other) as conversation:
        conversation.lanes = [LaneChoice()]
    parts.picker.compare_with_base(other, classifier.id)
    assert lanes(parts, other) == [(classifier.id, "final")]


def test_refresh_first_run_gets_a_lane_and_ends_the_hint(parts, tuned, chat):
    chat_id = chat()
    assert parts.picker.refresh(chat_id)["hint"] == NO_RUN
    run = tuned()
    assert parts.picker.refresh(chat_id)["hint"] == ""
    assert lanes(parts, chat_id)[1] == (run.id, "final")


def test_refresh_untouched_conversation_moves_to_the_newest_finished_run(parts, tuned, chat):
    tuned(created=1)
    untouched, chosen = chat(), chat()
    parts.picker.choose_lane_count(chosen, 1)
    newer = tuned("other", created=2)
    tuned(created=3).save_state(RunState(status="failed", created=3, ended=4))
    updates = parts.picker.refresh(untouched)
    assert lanes(parts, untouched) == [("", "final"), (newer.id, "final")]
    assert updates["base"]["value"] == base_identity(parts.conversations.engine.store, newer).key
    parts.picker.refresh(chosen)
    assert lanes(parts, chosen) == [("", "final")]


def test_refresh_conversation_with_turns_keeps_its_lanes(parts, tuned, chat):
    first = tuned(created=1)
    chat_id = chat()
    with parts.conversations.change(chat_id) as conversation:
        conversation.ask("Hi?")
    tuned(created=2)
    parts.picker.refresh(chat_id)
    assert lanes(parts, chat_id)[1] == (first.id, "final")


def test_refresh_lane_follows_newest_adapter_until_another_is_chosen(parts, tuned, chat):
    run = tuned(steps=(5,))
    final = run.adapter.rename(run.adapter.with_name("later"))
    followed, chosen = chat(), chat()
    with parts.conversations.change(followed) as conversation:
        conversation.ask("Hi?")
    assert lanes(parts, followed)[1] == lanes(parts, chosen)[1] == (run.id, "step 5")
    parts.picker.choose_checkpoint(chosen, 1, 0)
    parts.picker.choose_lane_count(chosen, 4)
    final.rename(run.adapter)
    updates = parts.picker.refresh(followed)
    assert lanes(parts, followed)[1] == (run.id, "final")
    assert updates["checkpoint_2"]["label"] == "Checkpoint: final"
    parts.picker.refresh(chosen)
    assert [adapter for _, adapter in lanes(parts, chosen)] == ["final", "base", "final", "final"]


def test_choose_base_offers_the_runs_on_it(parts, tuned, chat):
    tuned(created=2)
    other = tuned("other", created=1)
    chat_id = chat()
    updates = parts.picker.choose_base(chat_id, "other · unquantized")
    assert lanes(parts, chat_id) == [("", "final"), (other.id, "final")]
    assert [run_id for _, run_id in updates["run_1"]["choices"]] == ["", other.id]
    with pytest.raises(StudioError, match="no base model 'none such'"):
        parts.picker.choose_base(chat_id, "none such")


def test_choose_run_offers_the_exported_files_of_the_runs(parts, tuned, chat, settings):
    run, other = tuned(steps=(5,), created=2), tuned("other", created=1)
    settings.exports_dir.mkdir(exist_ok=True)
    names = [f"{folder_name(each, 'final')}-{kind}" for each in (run, other) for kind in ("Q8_0", "Q4_K_M-no-imatrix")]
    for name in (*names, f"{folder_name(run, 'final')}-adapter", f"{folder_name(run, 'step 5')}-F16-original"):
        (settings.exports_dir / f"{name}.gguf").touch()
    chat_id = chat()
    choices = {value: label for label, value in parts.picker.refresh(chat_id)["run_1"]["choices"]}
    files = [f"{names[0]}.gguf", f"{names[1]}.gguf", f"{folder_name(run, 'step 5')}-F16-original.gguf"]
    assert set(choices) == {"", run.id, *(f"{run.id}/{name}" for name in files)}
    assert choices[f"{run.id}/{files[0]}"] == f"GGUF Q8_0 · {run.title} · {files[0]}"
    assert choices[f"{run.id}/{files[2]}"] == f"GGUF F16 · {run.title} · {files[2]}"
    updates = parts.picker.choose_run(chat_id, 0, f"{run.id}/{files[0]}")
    assert lanes(parts, chat_id)[0] == (run.id, files[0])
    assert updates["run_1"]["value"] == f"{run.id}/{files[0]}"
    assert not updates["checkpoint_1"]["visible"]
    for value in (f"{run.id}/{names[2]}.gguf", f"{run.id}/../x.gguf", f"{other.id}/{names[2]}.gguf", "x/y.gguf"):
        with pytest.raises(StudioError):
            parts.picker.choose_run(chat_id, 1, value)
    (settings.exports_dir / files[0]).unlink()
    lane = parts.picker.refresh(chat_id)["run_1"]
    assert (f"{run.id}/{files[0]} (not available)", f"{run.id}/{files[0]}") in lane["choices"]
    with pytest.raises(StudioError, match=f"There is no GGUF file '{files[0]}' of the run"):
        send(parts, chat_id)


@pytest.mark.parametrize("changed", [
    {"compute_dtype": "bfloat16"}, {"quantization": "nf4"}, {"double_quantization": False}, {"attention": "eager"},
], ids=lambda changed: next(iter(changed)))  # fmt: skip
def test_choose_base_runs_that_differ_in_one_field_are_on_different_bases(parts, tuned, chat, changed):
    first = {"quantization": "nf4"} if "double_quantization" in changed else {"quantization": "none"}
    runs = [tuned(created=created, **(first | more)) for created, more in ((1, {}), (2, changed))]
    chat_id, store = chat(), parts.conversations.engine.store
    choices = parts.picker.refresh(chat_id)["base"]["choices"]
    labels = {label: key for label, key in choices if label.startswith("tiny")}
    assert len(labels) == len(set(labels.values())) == 2
    for run in runs:
        base = base_identity(store, run)
        updates = parts.picker.choose_base(chat_id, base.key)
        assert lanes(parts, chat_id) == [("", "final"), (run.id, "final")]
        assert updates["base"]["value"] == base.key
        request = LaneRequest([{"role": "user", "content": "Hi."}], Sampling(), f"{run.id}/final")
        assert resolve_lanes(store, [request], parts.picker.base_of(parts.conversations.find(chat_id))).base == base


def test_base_of_conversation_of_earlier_version_is_found_by_its_label(parts, tuned, chat):
    tuned()
    chat_id = chat()
    with parts.conversations.change(chat_id) as conversation:
        conversation.base, conversation.base_identity = "tiny · unquantised", None
    assert parts.picker.base_of(parts.conversations.find(chat_id)).label == "tiny · unquantized · float32"


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (4, 4), (0, 1), (99, MAX_LANES)])
def test_choose_lane_count_adds_runs_without_a_lane(parts, tuned, chat, count, expected):
    runs = [tuned(created=created).id for created in (1, 2)]
    chat_id = chat()
    updates = parts.picker.choose_lane_count(chat_id, count)
    found = [run for run, _ in lanes(parts, chat_id)]
    assert len(found) == expected
    assert found[:3] == ["", *reversed(runs)][: min(3, expected)]
    visible = [updates[f"run_{number}"]["visible"] for number in range(1, MAX_LANES + 1)]
    assert visible == [number <= expected for number in range(1, MAX_LANES + 1)]


@pytest.mark.parametrize("count", [None, True, "2", float("nan"), float("inf")])
def test_choose_lane_count_not_a_number_is_rejected(parts, chat, count):
    with pytest.raises(StudioError, match="Expected a whole number"):
        parts.picker.choose_lane_count(chat(), count)


def test_choose_run_on_another_base_is_rejected_with_the_reason(parts, tuned, chat):
    tuned(created=2)
    other = tuned("other", created=1)
    chat_id = chat()
    with pytest.raises(StudioError, match="share one copy of the base model's weights"):
        parts.picker.choose_run(chat_id, 0, other.id)
    with pytest.raises(StudioError, match="none-such"):
        parts.picker.choose_run(chat_id, 0, "none-such")
    assert lanes(parts, chat_id)[0] == ("", "final")


def test_choose_checkpoint_goes_from_base_to_final(parts, tuned, chat):
    tuned(steps=(5, 10))
    chat_id = chat()
    names = []
    for index in range(4):
        slider = parts.picker.choose_checkpoint(chat_id, 1, index)["checkpoint_2"]
        names.append(lanes(parts, chat_id)[1][1])
        assert slider["label"] == f"Checkpoint: {names[-1]}"
        assert (slider["value"], slider["maximum"]) == (index, 3)
    assert names == ["base", "step 5", "step 10", "final"]
    parts.picker.choose_checkpoint(chat_id, 1, 99)
    assert lanes(parts, chat_id)[1][1] == "final"
    # The base has no checkpoints, so nothing happens.
    parts.picker.choose_checkpoint(chat_id, 0, 1)
    assert lanes(parts, chat_id)[0] == ("", "final")


def test_refresh_missing_run_is_named_in_its_lane_and_not_in_a_new_chat(parts, tuned, chat):
    run = tuned()
    chat_id = chat()
    with parts.conversations.change(chat_id) as conversation:
        conversation.ask("Hi?")
    shutil.rmtree(run.folder)
    lane = parts.picker.refresh(chat_id)["run_2"]
    assert (f"{run.id} (not available)", run.id) in lane["choices"]
    assert lane["value"] == run.id
    assert parts.suggestions.suggest(chat_id)["suggested"], "questions of the bundled data"
    new_id = parts.chat_list.new_chat(chat_id, json.dumps([chat_id]))["chat_id"]
    assert lanes(parts, new_id) == [("", "final")]


def test_unload_frees_memory_and_reports_how_much(parts, tuned, chat, toasts):
    tuned()
    send(parts, chat())
    parts.picker.unload()
    assert parts.conversations.engine.loaded is None
    assert "were freed" in toasts[-1]
    with pytest.raises(StudioError, match="No model is loaded"):
        parts.picker.unload()
