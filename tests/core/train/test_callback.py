from types import SimpleNamespace

import pytest
from transformers import TrainerControl

from core.runs import checkpoints, events
from core.runs.checkpoints import Checkpoint
from core.runs.config import QLoRAConfig
from core.runs.events import EventWriter, ResumedEvent
from core.train.callback import PassProgress, Reporter
from core.train.distributed import SINGLE

NAN, INF = float("nan"), float("inf")
EVERY, SAVE = 10, 20


class Attempts:
    """Attempts at a run without a model: each pass of a step takes its loss from a dictionary."""

    def __init__(self, folder, losses, **settings):
        self.losses, self.last, self.end_reason, self.saved = losses, max(losses), "", []
        self.folder, self.file = folder / "checkpoints", folder / events.FILE
        self.file.touch()
        self.run = SimpleNamespace(checkpoints_dir=self.folder, events=lambda: events.read(self.file))
        self.config = QLoRAConfig(subset="s", sample_prompts="", eval_steps=EVERY, save_steps=SAVE, **settings)

    def train(self, until=None, stop_at=None):
        """Train from the last checkpoint, and return the step at which the attempt ended.

        `until` kills it there; `stop_at` stops it after that step, with a pass and a checkpoint.
        """
        there = checkpoints.complete(self.folder)
        writer, step = EventWriter(self.file), there[-1].step if there else 0
        if there:
            writer.write(ResumedEvent(step=step))
        state = SimpleNamespace(global_step=step, max_steps=self.last)
        trainer = SimpleNamespace(ranks=SINGLE, evaluate_held_out=lambda *_: {"loss": known[state.global_step]})
        reporter = Reporter(self.run, writer, trainer, [{}], self.config, there[-1] if there else None)
        control = TrainerControl()
        known = self.losses | ({stop_at: 1.7} if stop_at not in (None, *self.losses) else {})
        for step in sorted(step for step in known if step > state.global_step):
            if until is not None and step > until:
                return until
            state.global_step = step
            reporter._evaluate(state, control)
            if control.should_save or step % SAVE == 0 or step == stop_at:
                control.should_save = False
                self.saved.append(step)
                (self.folder / f"checkpoint-{step}").mkdir(parents=True, exist_ok=True)
                saved = Checkpoint(step=step, loss=reporter._losses[step])
                checkpoints.mark_complete(self.folder, saved)
                checkpoints.prune(self.folder, self.config.keep_checkpoints)
            if control.should_training_stop or step == stop_at:
                break
        self.end_reason = reporter.end_reason
        return state.global_step


def test_long_pass_reports_rows_and_time_left_ever_more_rarely(monkeypatch, tmp_path):
    clock = iter(range(1000))
    monkeypatch.setattr("core.train.callback.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    (tmp_path / events.FILE).touch()
    stages = PassProgress(EventWriter(tmp_path / events.FILE), 0, 500)
    for second in range(1, 101):
        stages.report(second / 100)
    texts = [event.text for event in events.read(tmp_path / events.FILE)]
    assert texts[0] == "Computing the base model's held-out loss, 0 of 500 rows done"
    assert texts[1] == "Computing the base model's held-out loss, 10 of 500 rows done, about 1 min 38 s left"
    assert len(texts) < 13
    assert not any("row 500" in text for text in texts), "the loss itself reports the end"


def passes(*losses):
    """Return the losses by step, one pass every `EVERY` steps."""
    return {EVERY * (index + 1): loss for index, loss in enumerate(losses)}


@pytest.mark.parametrize(
    ("losses", "patience", "ended", "reason"),
    [
        (passes(2, 1, 1.1, 1.2, 1.3), 2, 40, "2 evaluation passes in a row were no better than that at step 20"),
        (passes(2, 1, NAN, NAN, NAN), 2, 40, "2 evaluation passes in a row were no better than that at step 20"),
        (passes(2, 1, NAN, INF, NAN), 2, 40, "2 evaluation passes in a row were no better than that at step 20"),
        (passes(2, 1, NAN, 0.5, 0.6, 0.7), 2, 60, ""),
        (passes(NAN, NAN, NAN), 2, 20, "no better than that at step 0"),
        (passes(1, 1, 1, 1), 3, 40, ""),
        (passes(2, 1, 3, 1), 1, 30, "the evaluation pass was no better than that at step 20"),
        # The last step ends the run anyway.
        (passes(2, 1, 1.1), 1, 30, ""),
        (passes(2, 1, 1.1, 1.2, 1.3), 0, 50, ""),
    ],
)
def test_early_stopping_counts_every_pass_without_a_lower_loss(tmp_path, losses, patience, ended, reason):
    attempts = Attempts(tmp_path, losses, early_stopping=patience)
    assert attempts.train() == ended
    assert reason in attempts.end_reason
    assert bool(reason) == bool(attempts.end_reason)


@pytest.mark.parametrize("keep", [0, 1, 2])
@pytest.mark.parametrize("killed", range(5, 95, 10))
@pytest.mark.parametrize(
    "losses",
    [passes(1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8), passes(3, NAN, 2, NAN, NAN, NAN, NAN, NAN, NAN, NAN),
     passes(1, 2, 0.9, 2, 0.8, 2, 2, 2, 2, 2, 2)],
)  # fmt: skip
def test_early_stopping_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, losses, killed, keep):
    settings = {"early_stopping": 4, "keep_checkpoints": keep, "keep_best": keep == 2}
    (tmp_path / "whole").mkdir()
    whole = Attempts(tmp_path / "whole", losses, **settings)
    expected = whole.train()
    attempts = Attempts(tmp_path, losses, **settings)
    if attempts.train(until=killed) == killed:
        assert attempts.train() == expected
    assert attempts.end_reason == whole.end_reason
    if keep == 2:
        assert checkpoints.best(attempts.folder) == checkpoints.best(whole.folder)


@pytest.mark.parametrize("stops", [(45,), (12, 13, 14, 15), (20, 40), (33, 44)])
def test_early_stopping_is_not_nearer_after_stops_on_request(tmp_path, stops):
    losses = passes(1, *[1.5] * 9)
    attempts = Attempts(tmp_path, losses, early_stopping=4)
    for stop in stops:
        assert attempts.train(stop_at=stop) == stop
    assert attempts.train() == 50
    assert "4 evaluation passes in a row were no better than that at step 10" in attempts.end_reason


def test_keep_best_switched_on_at_a_resume_saves_what_is_better_than_the_checkpoints(tmp_path):
    attempts = Attempts(tmp_path, passes(0.5, 1, 0.8, 0.9))
    attempts.train(until=25)
    attempts.config = attempts.config.model_copy(update={"keep_best": True})
    attempts.train()
    assert attempts.saved == [20, 30, 40]
    assert checkpoints.best(attempts.folder).step == 30
