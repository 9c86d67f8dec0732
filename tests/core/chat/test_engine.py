"""Engine with real tiny models: queue, sharing, stopping, memory, failures."""

import gc
import os
import threading
import time
import weakref

import psutil
import pytest

from core.access.roles import STUDIO, Caller, Role, acting
from core.chat import loaded_model
from core.chat.engine import Engine
from core.chat.queue_entry import WAITING, QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, LaneRequest, adapter_key
from core.errors import StudioError
from core.hardware import gpu
from core.hub.download import DownloadCancelled
from core.runs.config import QLoRAConfig

GREEDY = Sampling(temperature=0, max_new_tokens=8)
LONG = Sampling(temperature=0, max_new_tokens=400)


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def engine(store):
    return Engine(store.settings)


def base(store, name="tiny"):
    return BaseIdentity(name, quantization="none", compute_dtype="float32")


def texts(engine, made):
    *_, entry = engine.ask(made)
    return [answer.text for answer in entry.generations]


def questions(store, *prompts, sampling=GREEDY, model="tiny"):
    return QueueEntry(resolve_lanes(store, [LaneRequest(ask(text), sampling) for text in prompts], base(store, model)))


def test_engine_lanes_of_several_runs_share_one_base(engine, store, tuned):
    runs = [tuned(rank=rank, seed=rank) for rank in (2, 8)]
    keys = [None, *(adapter_key(run.id, "final") for run in runs)]
    lanes = [LaneRequest(ask("Hi."), GREEDY, key) for key in keys]
    found = texts(engine, QueueEntry(resolve_lanes(store, lanes)))
    assert len(set(found)) == 3
    for request, text in zip(lanes, found, strict=True):
        assert texts(engine, QueueEntry(resolve_lanes(store, [request], base(store)))) == [text], (
            "alone it says the same"
        )
    assert engine.loaded == base(store)


def test_engine_first_question_does_not_wait_in_the_queue(engine, store):
    first, again = questions(store, "Hi."), questions(store, "Hi.")
    assert next(engine.ask(first)).stage != WAITING
    texts(engine, again)
    assert engine.loaded == base(store)
    assert next(engine.ask(questions(store, "Once more."))).stage == ""


def test_engine_questions_of_the_owner_go_before_those_of_visitors(store):
    engine = Engine(store.settings, max_sequences=1)
    visitor = Caller(Role.VISITOR, "browser a")
    running, waiting = engine.ask(questions(store, "A long one.", sampling=LONG)), []
    next(entry for entry in running if entry.generations[0].tokens)
    for caller in (visitor, STUDIO, STUDIO):
        with acting(caller):
            entry = questions(store, "Hi.")
            waiting.append((entry, engine.ask(entry)))
            next(waiting[-1][1])
    assert [engine.queue_position(entry) for entry, _ in waiting] == [2, 0, 1]
    for stream in (running, *(stream for _, stream in waiting)):
        stream.close()
    engine.unload()


def test_engine_questions_are_admitted_in_order_and_know_their_position(store):
    engine, order, positions = Engine(store.settings, max_sequences=2), [], {}
    begun = threading.Event()

    def asks(number):
        made = questions(store, f"Number {number}.", sampling=LONG if number == 0 else GREEDY)
        for entry in engine.ask(made):
            positions.setdefault(number, []).append(engine.queue_position(entry))
            if entry.generations[0].tokens:
                begun.set()
        order.append(number)

    threads = [threading.Thread(target=asks, args=(0,))]
    threads[0].start()
    assert begun.wait(60)
    first = questions(store, "both sequences", "both sequences")
    waiting = threading.Thread(target=lambda: order.append(texts(engine, first) and "both"))
    waiting.start()
    while first not in engine._waiting:
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
    assert max(positions[2]) == 2


def test_engine_questions_that_fit_are_answered_together(engine, store):
    begun, ended = threading.Event(), []

    def long():
        for entry in engine.ask(questions(store, "A long one.", sampling=LONG)):
            if entry.generations[0].tokens > 2:
                begun.set()
        ended.append("long")

    thread = threading.Thread(target=long)
    thread.start()
    assert begun.wait(60)
    texts(engine, questions(store, "A short one."))
    ended.append("short")
    thread.join(120)
    assert ended == ["short", "long"]


def test_engine_shared_answers_equal_those_of_each_question_alone(engine, store):
    prompts = [f"Question {n}: " + "so " * (n * 3) for n in range(12)]
    expected = [texts(engine, questions(store, text)) for text in prompts]
    found = {}
    threads = [
        threading.Thread(target=lambda t=text: found.update({t: texts(engine, questions(store, t))}))
        for text in prompts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [found[text] for text in prompts] == expected


def test_engine_one_lane_stopped_leaves_the_other_going(engine, store):
    made = questions(store, "Hi.", "Hi.", sampling=LONG)
    for entry in engine.ask(made):
        if entry.generations[0].tokens > 3:
            made.stop(0)
    assert entry.generations[0].end == "stopped"
    assert entry.generations[1].tokens > entry.generations[0].tokens


def test_engine_closed_iterator_frees_its_sequences_within_a_second(engine, store):
    stream = engine.ask(questions(store, "Hi.", sampling=LONG))
    for entry in stream:
        if entry.generations[0].tokens > 2:
            break
    # Closing the stream is what happens when the page is closed.
    stream.close()
    deadline = time.monotonic() + 1
    while engine._active:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    waiting = questions(store, "And I?")
    assert texts(engine, waiting)[0]


def test_engine_question_stopped_in_the_queue_is_never_answered(store):
    engine = Engine(store.settings, max_sequences=1)
    holding = engine.ask(questions(store, "Hi.", sampling=LONG))
    while not next(holding).generations[0].tokens:
        pass
    made = questions(store, "Never.")
    stream = engine.ask(made)
    next(stream)
    made.stop()
    *_, entry = stream
    assert (entry.generations[0].end, entry.generations[0].tokens) == ("stopped", 0)
    holding.close()


def test_engine_question_stopped_during_a_download_ends_and_the_next_goes_on(engine, store, monkeypatch):
    def hold(model, report, is_cancelled):
        report("Downloading tiny, 1.0 GiB of 12.0 GiB")
        while not is_cancelled():
            time.sleep(0.01)
        raise DownloadCancelled(model.name)

    monkeypatch.setattr(loaded_model, "fetch", hold)
    made, stages = questions(store, "Hi.", "Hi."), []
    for entry in engine.ask(made):
        stages.append(entry.stage)
        if entry.stage.startswith("Downloading"):
            made.stop()
    assert "Downloading tiny, 1.0 GiB of 12.0 GiB" in stages
    assert [generation.end for generation in entry.generations] == ["stopped", "stopped"]
    monkeypatch.undo()
    assert texts(engine, questions(store, "And I?"))[0]


def test_engine_question_for_another_base_loads_it(engine, store):
    assert texts(engine, questions(store, "Hi."))
    assert texts(engine, questions(store, "Hi.", model="other"))
    assert engine.loaded.model == "other"


def test_engine_unload_waits_for_answers_and_frees_the_memory(engine, store):
    made = questions(store, "Hi.", sampling=LONG)
    stream = engine.ask(made)
    while not next(stream).generations[0].tokens:
        pass
    held = weakref.ref(engine._models.main.lanes.model)
    thread = threading.Thread(target=engine.unload)
    thread.start()
    *_, entry = stream
    thread.join(60)
    assert entry.generations[0].end in ("length", "end")
    assert engine.loaded is None
    # A second call changes nothing.
    engine.unload()
    gc.collect()
    assert held() is None, "the model's memory is given back"


def test_engine_question_that_does_not_fit_is_refused(engine, store, monkeypatch):
    with pytest.raises(StudioError, match=r"exceeds what the model can read \(600\)"):
        texts(engine, questions(store, "word " * 700))
    monkeypatch.setattr(loaded_model, "_CACHE_SHARE", 0.0)
    engine.unload()
    with pytest.raises(StudioError, match="GiB of memory beside the model"):
        texts(engine, questions(store, "Hi."))
    monkeypatch.undo()
    engine.unload()
    assert texts(engine, questions(store, "Hi."))


def test_engine_model_failure_reaches_its_askers_and_the_queue_goes_on(engine, store, monkeypatch):
    from core.chat.decoder import Decoder

    assert texts(engine, questions(store, "Hi."))
    with monkeypatch.context() as broken:
        broken.setattr(Decoder, "step", lambda self: (_ for _ in ()).throw(RuntimeError("CUDA error")))
        with pytest.raises(RuntimeError, match="CUDA error"):
            texts(engine, questions(store, "Hi."))
    assert texts(engine, questions(store, "Hi."))


def test_engine_failure_of_one_sequence_reaches_its_asker_alone(engine, store, monkeypatch):
    from core.chat.sampler import TokenSampler

    pick = TokenSampler.sample

    def broken(self, logits):
        if self.sampling.seed == 13:
            raise RuntimeError("no token")
        return pick(self, logits)

    monkeypatch.setattr(TokenSampler, "sample", broken)
    stream = engine.ask(questions(store, "Hi.", sampling=LONG))
    while not next(stream).generations[0].tokens:
        pass
    with pytest.raises(RuntimeError, match="no token"):
        texts(engine, questions(store, "Hi.", sampling=GREEDY.model_copy(update={"seed": 13})))
    *_, entry = stream
    assert entry.generations[0].end in ("length", "end")
    assert engine.loaded is not None


@pytest.mark.parametrize(("status", "free", "leaves"), [
    ("preparing", 0.001, True), ("preparing", 70, False), ("running", 0.001, False),
])  # fmt: skip
def test_engine_yields_to_a_run_that_is_about_to_load(engine, store, a_run, monkeypatch, status, free, leaves):
    assert texts(engine, questions(store, "Hi."))
    run = a_run(config=QLoRAConfig(model="tiny"), status=status, ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process(os.getpid()).pid))
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(int(free * 2**30), 80 * 2**30))
    engine.yield_to_run()
    assert (engine.loaded is None) == leaves
    assert (f"tiny was unloaded from the GPU, because the run {run.title} needs its memory" in engine.notice) == leaves
