"""The real OpenAssistant-Guanaco rows, from upload to two answers: many scripts, many turns, some without an answer."""

import time

import gradio as gr
import pytest

from core.chat.host import ChatHost
from core.data import subset, table
from core.runs.store import ACTIVE, RunStore
from studio.chat_tab import ChatActions
from studio.data_tab import DataActions
from studio.train_tab import TrainActions

pytestmark = pytest.mark.slow
FILE = "openassistant_best_replies_eval.jsonl"
NO_EVENTS = gr.Request(session_hash="somebody")


def test_upload_subset_run_and_chat(studio, shared_data):
    data = DataActions(studio)
    dataset = data.open_file(str(shared_data / FILE))["value"]
    about = table.find(studio, dataset)
    assert about.rows == 518
    assert about.format == "guanaco"
    assert about.usable + sum(about.problems.values()) == 518
    assert about.ends_on_user + about.problems.get("no answer", 0) == 132
    assert f"{about.ends_on_user:,}</b> end on a user turn" in data.summary(dataset)
    rows, _, words = data.page(dataset, 1, 100)
    assert len(rows) == 100
    assert words.startswith("rows 1 to 100 of 518")
    assert any("Напиши" in row[3] for row in rows)  # the first row is Russian

    data.cut("guanaco-100", dataset=dataset, rows=100, method="random", seed=3, held_out_share=0.1)
    cut = subset.find(studio, "guanaco-100")
    assert (cut.rows, cut.held_out) == (100, 10)

    runs = RunStore(studio)
    run_id = TrainActions(runs).start(
        subset="guanaco-100", max_steps=10, batch_size=2, max_length=256, eval_rows=4, save_steps=5, learning_rate=1e-3
    )["value"]
    run = runs.run(run_id)
    deadline = time.monotonic() + 240
    while run.state().status in ACTIVE:
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.2)
    assert run.state().status == "finished", run.log_tail()
    prepared = next(e for e in run.events() if e["event"] == "prepared")
    assert prepared["rows"] + sum(prepared["left_out"].values()) == 100
    assert [e["step"] for e in run.events() if e["event"] == "step"] == list(range(1, 11))

    chat = ChatActions(ChatHost(studio))
    for adapter in ("final", "step 5"):
        *_, last = chat.send(
            run_id, adapter, "Объясни, что такое прилив.", [], NO_EVENTS, temperature=0, max_new_tokens=12
        )
        (turn,) = last[1]
        assert all(turn["answers"])
