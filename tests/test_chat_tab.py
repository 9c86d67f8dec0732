"""The Chat tab's actions: what it refuses, what it offers, and that each lane remembers its own answers only."""

import json

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.chat.engine import Engine
from core.chat.sampling import Sampling
from core.data import subset
from core.errors import StudioError
from core.models import embedded
from core.runs import checkpoints
from core.runs.config import QLoRAConfig
from core.runs.store import RunState
from studio.chat_tab import IDLE, NO_RUN, ChatActions, _chats, _history, build_chat_tab

ASKED = gr.Request(session_hash="a-browser")
DEFAULTS = Sampling().model_dump()
TURN = st.fixed_dictionaries({"prompt": st.text(), "answers": st.tuples(st.text(), st.text()).map(list)})
TURNS = st.lists(TURN, max_size=4)


@pytest.fixture
def do(settings):
    return ChatActions(Engine(settings))


def a_run(do, adapters=("adapter",), created=1.0):
    """A finished run with adapter folders as PEFT writes them, without weights."""
    settings = do.engine.settings
    subset.ensure_bundled(settings)
    embedded.folder(settings).mkdir(parents=True, exist_ok=True)
    (embedded.folder(settings) / "config.json").touch()
    run = do.engine.store.create(QLoRAConfig())
    run.save_state(RunState(status="finished", created=created, ended=created + 1))
    for name in adapters:
        folder = run.folder / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"")
        if folder.parent == run.checkpoints_dir:
            step = int(folder.name.removeprefix("checkpoint-"))
            checkpoints.mark_whole(run.checkpoints_dir, checkpoints.Checkpoint(step=step))
    return run


def send(do, run_id="x", adapter="final", prompt="Hi.", turns=(), **values):
    return list(do.send(run_id, adapter, prompt, list(turns), ASKED, **(DEFAULTS | values)))


# Refusals


@pytest.mark.parametrize(("run_id", "adapter"), [(None, None), ("", ""), ("a-run", None), (None, "final")])
def test_without_a_run_the_way_to_one_is_said(do, run_id, adapter):
    with pytest.raises(StudioError) as raised:
        send(do, run_id, adapter)
    assert str(raised.value) == NO_RUN


@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_an_empty_prompt_is_refused(do, prompt):
    with pytest.raises(StudioError, match="prompt is empty"):
        send(do, prompt=prompt)


@pytest.mark.parametrize("run_id", ["none-such", "../x"])
def test_an_unknown_run_is_refused_by_name(do, run_id):
    with pytest.raises(StudioError, match=run_id):
        send(do, run_id)


def test_an_unknown_adapter_is_refused_with_those_there_are(do):
    run = a_run(do, ["adapter", "checkpoints/checkpoint-20"])
    with pytest.raises(StudioError, match=r"no adapter 'step 7'. It has: final, step 20\."):
        send(do, run.id, "step 7")


@pytest.mark.parametrize("values", [{"temperature": 9}, {"max_new_tokens": 0}, {"top_p": 0}, {"seed": 0.5}])
def test_settings_out_of_bounds_are_refused_by_the_server_with_title_and_place(do, values):
    [(name, value)] = values.items()
    title = Sampling.model_fields[name].title
    with pytest.raises(StudioError, match=rf"{title} \(under Settings\).*given: {value}"):
        send(do, **values)
    with pytest.raises(StudioError, match=rf"{title} \(under Settings\) is empty"):
        send(do, **{name: None})


def test_a_refused_prompt_is_given_back_and_what_was_there_stays(do):
    turns = [{"prompt": "Hi.", "answers": ["a", "b"]}]
    stream = do.send("none-such", "final", "And now?", turns, ASKED, **DEFAULTS)
    begun = next(stream)
    assert begun[0] == ""
    assert begun[2][-1]["content"] == "…", "the question is on the page at once"
    again = next(stream)
    assert again[:4] == ("And now?", turns, *_chats(turns))
    assert again[7] == IDLE
    with pytest.raises(StudioError, match="none-such"):
        next(stream)


# What is offered


def test_without_runs_the_lists_are_empty_and_the_way_is_said(do):
    nothing = gr.update(choices=[], value=None)
    assert do.refresh(None, None, []) == (nothing, nothing, [], NO_RUN)


def test_runs_with_an_adapter_are_offered_newest_first(do):
    old, bare, new = a_run(do, created=1), a_run(do, adapters=(), created=2), a_run(do, created=3)
    runs, adapters, _, hint = do.refresh(None, None, [])
    assert [run_id for _, run_id in runs["choices"]] == [new.id, old.id]
    assert (runs["value"], adapters["value"], hint) == (new.id, "final", "")
    assert do.refresh(old.id, None, [])[0]["value"] == old.id, "a choice is kept"
    for gone in (bare.id, "none-such"):
        assert do.refresh(gone, None, [])[0]["value"] == new.id


def test_a_chosen_adapter_stays_until_its_run_has_a_newer_one(do):
    run = a_run(do, ["checkpoints/checkpoint-5", "checkpoints/checkpoint-10"])
    _, adapters, seen, _ = do.refresh(run.id, None, [])
    assert adapters["choices"] == seen == ["step 10", "step 5"]
    assert adapters["value"] == "step 10"
    assert do.refresh(run.id, "step 5", seen)[1]["value"] == "step 5"
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    _, adapters, seen, _ = do.refresh(run.id, "step 5", seen)
    assert adapters["choices"] == seen == ["final", "step 10", "step 5"]
    assert adapters["value"] == "final"


def test_every_widget_gets_a_value(do):
    with gr.Blocks() as demo:
        runs_changed = gr.State("").change
        build_chat_tab(do.engine, demo, [runs_changed])
    wired = {fn.fn.__qualname__: len(fn.outputs) for fn in demo.fns.values() if fn.fn}
    assert wired["ChatActions.clear"] == len(do.clear(ASKED))
    assert wired["ChatActions.refresh"] == len(do.refresh(None, None, []))
    assert not any(do.clear(ASKED)[:-1])


def test_stop_without_an_answer_under_way_is_nothing(do):
    assert do.stop(ASKED) is None


# Lanes


@hypothesis_settings(deadline=None)
@given(TURNS, st.text(), st.sampled_from([0, 1]))
def test_a_lane_remembers_its_own_answers_only(turns, prompt, lane):
    messages = _history(turns, lane, prompt)
    assert messages[-1] == {"role": "user", "content": prompt}
    assert [m["role"] for m in messages] == ["user", "assistant"] * len(turns) + ["user"]
    assert [m["content"] for m in messages[:-1:2]] == [turn["prompt"] for turn in turns]
    assert [m["content"] for m in messages[1::2]] == [turn["answers"][lane] for turn in turns]


@hypothesis_settings(deadline=None)
@given(TURNS)
def test_each_chat_shows_its_own_lane(turns):
    before = json.dumps(turns)
    for lane, chat in enumerate(_chats(turns)):
        assert [m["content"] for m in chat[::2]] == [turn["prompt"] for turn in turns]
        assert [m["content"] for m in chat[1::2]] == [turn["answers"][lane] or "…" for turn in turns]
    assert json.dumps(turns) == before


@pytest.fixture
def tuned_run(do, tokenizer):
    """A run whose model is a tiny Llama in the models folder, with an adapter that PEFT made."""
    from peft import LoraConfig, get_peft_model
    from tiny import tiny_llama

    folder = do.engine.settings.models_dir / "tiny"
    model = tiny_llama(vocab_size=len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    subset.ensure_bundled(do.engine.settings)
    run = do.engine.store.create(QLoRAConfig(model="tiny", quantization="none", compute_dtype="float32"))
    run.save_state(RunState(status="finished", created=1, ended=2))
    shape = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, shape).save_pretrained(run.adapter)
    return run


def turn_of(update):
    """The last turn's answers in an update of the page."""
    return [message["content"] for chat in update[2:4] for message in chat[-1:]]


def test_both_lanes_answer_go_on_from_their_own_words_and_stop(do, tuned_run):
    """The second turn is stopped after its first words."""
    run = tuned_run
    *_, last = send(do, run.id, prompt="Name a colour.", temperature=0, max_new_tokens=6)
    cleared, turns, base_chat, tuned_chat, base_line, tuned_line, hint, stop = last
    assert (cleared, hint, stop) == ("", "", IDLE)
    assert [turn["prompt"] for turn in turns] == ["Name a colour."]
    assert turns[0]["answers"][0] != turns[0]["answers"][1]
    assert [chat[1]["content"] for chat in (base_chat, tuned_chat)] == turns[0]["answers"]
    assert "tokens/s" in base_line
    assert "tokens/s" in tuned_line

    stream = do.send(run.id, "final", "And another?", turns, ASKED, **(DEFAULTS | {"max_new_tokens": 1000}))
    while "…" in turn_of(next(stream)):
        pass
    do.stop(ASKED)
    *_, last = stream
    assert len(last[1]) == 2
    assert last[1][0] == turns[0]
    assert "stopped" in last[4]
    assert "stopped" in last[5]


def test_clear_ends_what_is_being_written_and_nothing_of_it_comes_back(do, tuned_run):
    stream = do.send(tuned_run.id, "final", "Go on.", [], ASKED, **(DEFAULTS | {"max_new_tokens": 1000}))
    next(stream)
    while "…" in turn_of(next(stream)):
        pass
    assert not any(do.clear(ASKED)[:-1])
    assert list(stream) == []
