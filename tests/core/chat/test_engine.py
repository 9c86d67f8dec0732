"""The engine with real tiny models: queue, sharing, giving up, memory, failures."""

import gc
import os
import threading
import time
import weakref
from dataclasses import replace

import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model

from core.access import roles
from core.chat import engine as engines
from core.chat.engine import Base, Engine
from core.chat.requests import Asked, bases, ticket
from core.chat.sampling import Sampling
from core.errors import StudioError
from core.hardware import gpu
from core.models.catalogue import find
from core.models.loading import Precision
from core.runs.config import QLoRAConfig
from core.runs.store import RunState
from tests.helpers.tiny_model import tiny_llama

GREEDY = Sampling(temperature=0, max_new_tokens=8)
LONG = Sampling(temperature=0, max_new_tokens=400)


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def store(runs, tokenizer):
    for name, layers in (("tiny", 2), ("other", 1)):
        folder = runs.settings.models_dir / name
        tiny_llama(vocab_size=len(tokenizer), num_hidden_layers=layers, max_position_embeddings=600).save_pretrained(
            folder
        )
        tokenizer.save_pretrained(folder)
    return runs


@pytest.fixture
def engine(store):
    return Engine(store.settings)


@pytest.fixture
def tuned(store, tokenizer):
    """Makes a finished run with an adapter on one of the models."""

    def make(model="tiny", rank=4, seed=0):
        run = store.create(QLoRAConfig(model=model, quantization="none", compute_dtype="float32"))
        run.save_state(RunState(status="finished", created=1.0, ended=2.0))
        torch.manual_seed(seed)
        base = tiny_llama(vocab_size=len(tokenizer), num_hidden_layers=2 if model == "tiny" else 1)
        shape = LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(base, shape).save_pretrained(run.adapter)
        return run

    return make


def base(store, name="tiny"):
    return Base(find(store.settings, name), Precision("none", compute_dtype="float32"))


def texts(engine, made):
    *_, told = engine.ask(made)
    return [answer.text for answer in told.answers]


def questions(store, *said, sampling=GREEDY, model="tiny"):
    return ticket(store, [Asked(ask(text), sampling) for text in said], base(store, model))


def test_lanes_of_several_runs_share_one_base(engine, store, tuned):
    runs = [tuned(rank=rank, seed=rank) for rank in (2, 8)]
    lanes = [Asked(ask("Hi."), GREEDY), *(Asked(ask("Hi."), GREEDY, run.id) for run in runs)]
    found = texts(engine, ticket(store, lanes))
    assert len(set(found)) == 3
    for asked, text in zip(lanes, found, strict=True):
        assert texts(engine, ticket(store, [asked], base(store))) == [text], "alone it says the same"
    assert engine.loaded == base(store)


def test_runs_of_different_bases_are_refused_with_the_reason(store, tuned):
    one, two = tuned(), tuned("other")
    with pytest.raises(StudioError, match=f"The run {two.id} stands on other · unquantised · float32, not on tiny"):
        ticket(store, [Asked(ask("Hi."), GREEDY, one.id), Asked(ask("Hi."), GREEDY, two.id)])


@pytest.mark.parametrize(("asked", "words"), [
    (Asked(ask(" "), GREEDY), "prompt is empty"),
    (Asked(ask("Hi."), GREEDY, "no-such-run"), "no-such-run"),
    (Asked(ask("Hi."), GREEDY), "No model is chosen"),
])  # fmt: skip
def test_what_cannot_be_asked_is_a_sentence(store, asked, words):
    with pytest.raises(StudioError, match=words):
        ticket(store, [asked])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, Precision("none", True, "float32")),
        ({"quantization": "nf4"}, Precision("nf4", True, "float32")),
        ({"compute_dtype": "bfloat16"}, Precision("none", True, "bfloat16")),
        ({"quantization": "int8", "compute_dtype": "auto"}, Precision("int8", True, "auto")),
    ],
    ids=str,
)
def test_the_base_has_the_precision_of_the_run_or_the_one_that_is_asked_for(store, tuned, asked, expected):
    run, sampling = tuned(), GREEDY.model_copy(update=asked)
    made = ticket(store, [Asked(ask("Hi."), sampling), Asked(ask("Hi."), sampling, run.id)])
    assert made.base.precision == expected
    assert ticket(store, [Asked(ask("Hi."), sampling)], base(store)).base.precision == expected


def test_lanes_of_different_precision_are_refused_and_so_is_a_visitors(store, tuned):
    other = GREEDY.model_copy(update={"quantization": "nf4"})
    with pytest.raises(StudioError, match="different precisions"):
        ticket(store, [Asked(ask("Hi."), GREEDY), Asked(ask("Hi."), other)], base(store))
    with roles.acting(roles.Caller(roles.Role.VISITOR, "v")), pytest.raises(StudioError, match="for the owner"):
        ticket(store, [Asked(ask("Hi."), other)], base(store))


def test_bases_are_told_apart_by_precision_and_attention(store):
    first = base(store)
    others = [replace(first, precision=Precision(*kept)) for kept in (("nf4",), ("nf4", False), ("int8",), ("none",))]
    words = [one.words for one in (first, *others, replace(first, attention="eager"))]
    assert len(set(words)) == len(words)
    assert first.words == "tiny · unquantised · float32"
    assert first.is_called("tiny · unquantised")
    assert not first.is_called("tin")


def test_what_can_be_chatted_with_is_listed(store, tuned):
    run = tuned()
    first, *rest = bases(store)
    assert (first.model.name, first.precision.quantization) == (run.config().model, "none")
    assert {other.model.name for other in rest} >= {"other"}
    assert "tiny" not in {other.model.name for other in rest}


def test_who_is_the_first_waits_for_the_model_and_for_nobody(engine, store):
    first, again = questions(store, "Hi."), questions(store, "Hi.")
    assert next(engine.ask(first)).stage != "Waiting"
    texts(engine, again)
    assert engine.loaded == base(store)
    assert next(engine.ask(questions(store, "Once more."))).stage == ""


def test_tickets_are_let_in_in_their_order_and_know_their_place(store):
    engine, order, places = Engine(store.settings, most_rows=2), [], {}
    begun = threading.Event()

    def asks(number):
        made = questions(store, f"Number {number}.", sampling=LONG if number == 0 else GREEDY)
        for told in engine.ask(made):
            places.setdefault(number, []).append(engine.queue_position(told))
            if told.answers[0].tokens:
                begun.set()
        order.append(number)

    threads = [threading.Thread(target=asks, args=(0,))]
    threads[0].start()
    assert begun.wait(60)
    first = ticket(store, [Asked(ask("both rows"), GREEDY)] * 2, base(store))
    waiting = threading.Thread(target=lambda: order.append(texts(engine, first) and "both"))
    waiting.start()
    while engine.queue_position(first) is None or first not in engine._waiting:
        time.sleep(0.01)
    for number in (1, 2):
        threads.append(threading.Thread(target=asks, args=(number,)))
        threads[-1].start()
        while len(engine._waiting) < 1 + number:
            time.sleep(0.01)
    for thread in [*threads, waiting]:
        thread.join(120)
    assert order[0] == 0, "it held a row that the second needed"
    assert order[1] == "both"
    assert max(places[2]) == 2


def test_questions_that_fit_are_answered_together(engine, store):
    begun, ended = threading.Event(), []

    def long():
        for told in engine.ask(questions(store, "A long one.", sampling=LONG)):
            if told.answers[0].tokens > 2:
                begun.set()
        ended.append("long")

    thread = threading.Thread(target=long)
    thread.start()
    assert begun.wait(60)
    texts(engine, questions(store, "A short one."))
    ended.append("short")
    thread.join(120)
    assert ended == ["short", "long"]


def test_answers_that_share_the_engine_are_those_of_each_alone(engine, store):
    said = [f"Question {n}: " + "so " * (n * 3) for n in range(12)]
    expected = [texts(engine, questions(store, text)) for text in said]
    found = {}
    threads = [
        threading.Thread(target=lambda t=text: found.update({t: texts(engine, questions(store, t))})) for text in said
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [found[text] for text in said] == expected


def test_one_lane_is_stopped_and_the_other_goes_on(engine, store):
    made = questions(store, "Hi.", "Hi.", sampling=LONG)
    for told in engine.ask(made):
        if told.answers[0].tokens > 3:
            made.stop(0)
    assert told.answers[0].end == "stopped"
    assert told.answers[1].tokens > told.answers[0].tokens


def test_whoever_leaves_frees_the_rows_within_a_second(engine, store):
    stream = engine.ask(questions(store, "Hi.", sampling=LONG))
    for told in stream:
        if told.answers[0].tokens > 2:
            break
    stream.close()  # the page is gone
    deadline = time.monotonic() + 1
    while engine._active:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    waiting = questions(store, "And I?")
    assert texts(engine, waiting)[0]


def test_a_question_that_is_given_up_in_the_queue_is_never_answered(store):
    engine = Engine(store.settings, most_rows=1)
    holding = engine.ask(questions(store, "Hi.", sampling=LONG))
    while not next(holding).answers[0].tokens:
        pass
    made = questions(store, "Never.")
    stream = engine.ask(made)
    next(stream)
    made.stop()
    *_, told = stream
    assert (told.answers[0].end, told.answers[0].tokens) == ("stopped", 0)
    holding.close()


def test_another_base_waits_for_the_present_one(engine, store):
    assert texts(engine, questions(store, "Hi."))
    assert texts(engine, questions(store, "Hi.", model="other"))
    assert engine.loaded.model.name == "other"


def test_unloading_waits_for_answers_and_frees_the_memory(engine, store):
    made = questions(store, "Hi.", sampling=LONG)
    stream = engine.ask(made)
    while not next(stream).answers[0].tokens:
        pass
    held = weakref.ref(engine._lanes.model)
    thread = threading.Thread(target=engine.unload)
    thread.start()
    *_, told = stream
    thread.join(60)
    assert told.answers[0].end in ("length", "end")
    assert engine.loaded is None
    engine.unload()  # twice is no harm
    gc.collect()
    assert held() is None, "the model's memory is given back"


def test_what_will_not_fit_is_refused_before_it_fails(engine, store, monkeypatch):
    with pytest.raises(StudioError, match=r"exceeds what the model can read \(600\)"):
        texts(engine, questions(store, "word " * 700))
    monkeypatch.setattr(engines, "_CACHE_SHARE", 0.0)
    engine.unload()
    with pytest.raises(StudioError, match="GiB of memory beside the model"):
        texts(engine, questions(store, "Hi."))
    monkeypatch.undo()
    engine.unload()
    assert texts(engine, questions(store, "Hi."))


def test_a_failure_of_the_model_is_told_to_those_it_answers_and_the_queue_goes_on(engine, store, monkeypatch):
    from core.chat.decoder import Decoder

    assert texts(engine, questions(store, "Hi."))
    with monkeypatch.context() as broken:
        broken.setattr(Decoder, "step", lambda self: (_ for _ in ()).throw(RuntimeError("CUDA error")))
        with pytest.raises(RuntimeError, match="CUDA error"):
            texts(engine, questions(store, "Hi."))
    assert texts(engine, questions(store, "Hi."))


def test_a_failure_of_one_row_is_told_to_its_asker_alone(engine, store, monkeypatch):
    from core.chat.sampler import TokenSampler

    pick = TokenSampler.sample

    def broken(self, logits):
        if self.sampling.seed == 13:
            raise RuntimeError("no token")
        return pick(self, logits)

    monkeypatch.setattr(TokenSampler, "sample", broken)
    stream = engine.ask(questions(store, "Hi.", sampling=LONG))
    while not next(stream).answers[0].tokens:
        pass
    with pytest.raises(RuntimeError, match="no token"):
        texts(engine, questions(store, "Hi.", sampling=GREEDY.model_copy(update={"seed": 13})))
    *_, told = stream
    assert told.answers[0].end in ("length", "end")
    assert engine.loaded is not None


@pytest.mark.parametrize(("status", "free", "leaves"), [
    ("preparing", 0.001, True), ("preparing", 70, False), ("running", 0.001, False),
])  # fmt: skip
def test_the_chat_leaves_for_a_run_that_is_about_to_load(engine, store, a_run, monkeypatch, status, free, leaves):
    assert texts(engine, questions(store, "Hi."))
    run = a_run(config=QLoRAConfig(model="tiny"), status=status, ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process(os.getpid()).pid))
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(int(free * 2**30), 80 * 2**30))
    engine.yield_to_run()
    assert (engine.loaded is None) == leaves
    assert (f"tiny left the GPU, as the run {run.id} needs its memory" in engine.notice) == leaves
