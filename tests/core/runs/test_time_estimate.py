"""Estimated time of a run from past runs of this machine, and from a dry run."""

import pytest

from core.access.visibility import EXAMPLE_RUN
from core.data import subset
from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.time_estimate import Speed, TimeEstimates, count_passes
from core.settings import hardware
from tests.helpers.run_events import PREPARED, write

SETTINGS = {"max_steps": 10, "batch_size": 4, "eval_rows": 10, "eval_steps": 5, "max_length": 512}


def events(rate=100.0, machine=None, steps=5, rows=306, tokens=61_200):
    """Return the events of a run with 200 tokens per row: 20 s of preparation, 2 s per held-out row."""
    machine = machine or hardware().description
    prepared = PREPARED | {"rows": rows, "tokens": tokens, "truncated": 0, "seconds": 20.0,
                           "lineage": {"hardware": machine}}  # fmt: skip
    done = [
        # The first step compiles kernels.
        {"event": "step", "step": n, "tokens": 800 * n, "tokens_per_second": rate if n > 1 else rate / 50}
        for n in range(1, steps + 1)
    ]
    return [prepared, {"event": "eval", "step": 0, "loss": 4.0, "rows": 10, "seconds": 20.0}, *done]


@pytest.fixture
def estimates(runs):
    return TimeEstimates(runs)


def test_estimate_without_runs_or_dry_run_is_none(estimates):
    assert estimates.estimate(QLoRAConfig()) is None


def test_estimate_adds_preparation_steps_and_evaluation_passes(estimates, a_run):
    run = a_run(events(), QLoRAConfig(**SETTINGS))
    found = estimates.estimate(QLoRAConfig(**SETTINGS))
    assert found.speed.run == run.id
    assert found.differs == ()
    # 10 steps of 4 rows of 200 tokens at 100 tokens/s; passes at steps 0, 5 and 10, of 10 rows each.
    assert found.seconds == pytest.approx(20 + 80 + 3 * 10 * 2)
    assert estimates.estimate(QLoRAConfig(**SETTINGS | {"max_steps": 20})).seconds == pytest.approx(20 + 160 + 5 * 20)
    assert estimates.estimate(QLoRAConfig(**SETTINGS | {"eval_rows": 0})).seconds == pytest.approx(100)


@pytest.mark.parametrize(
    ("made", "over"),
    [
        (events(machine="another machine"), {}),
        (events(steps=1), {}),
        (events(), {"model": "other"}),
        (events(), {"quantization": "none"}),
        (events(), {"batch_size": 32}),
    ],
    ids=["another machine", "one step only", "another model", "another format", "eight times the batch"],
)
def test_estimate_uses_no_run_that_says_nothing(estimates, a_run, made, over):
    a_run(made, QLoRAConfig(**SETTINGS))
    assert estimates.estimate(QLoRAConfig(**SETTINGS | over)) is None


def test_estimate_prefers_the_nearest_sizes_then_the_newest_run(estimates, a_run):
    a_run(events(rate=50.0), QLoRAConfig(**SETTINGS), created=1.0)
    newer = a_run(events(rate=100.0), QLoRAConfig(**SETTINGS), created=2.0)
    a_run(events(rate=400.0), QLoRAConfig(**SETTINGS | {"batch_size": 8}), created=3.0)
    assert estimates.estimate(QLoRAConfig(**SETTINGS)).speed.run == newer.id
    larger = estimates.estimate(QLoRAConfig(**SETTINGS | {"batch_size": 16}))
    assert larger.differs == ("batch size 8",)


def test_estimate_of_a_run_that_still_trains_is_not_used(estimates, a_run):
    a_run(events(), QLoRAConfig(**SETTINGS), status="queued", ended=None)
    assert estimates.estimate(QLoRAConfig(**SETTINGS)) is None


def test_estimate_keeps_the_speed_of_a_run_that_is_resumed(estimates, a_run):
    run = a_run(events(), QLoRAConfig(**SETTINGS))
    before = estimates.estimate(QLoRAConfig(**SETTINGS))
    write(run, [events()[0]])
    run.save_state(run.saved_state().model_copy(update={"status": "queued"}))
    assert estimates.estimate(QLoRAConfig(**SETTINGS)) == before


def test_estimate_counts_tokens_of_another_length_by_the_characters_of_the_rows(estimates, a_run, settings):
    a_run(events(), QLoRAConfig(**SETTINGS))
    whole = estimates.estimate(QLoRAConfig(**SETTINGS | {"eval_rows": 0})).seconds
    short = estimates.estimate(QLoRAConfig(**SETTINGS | {"eval_rows": 0, "max_length": 256})).seconds
    assert 20 < short < whole, "some rows are longer than 256 tokens"
    with pytest.raises(StudioError, match="no subset"):
        estimates.estimate(QLoRAConfig(**SETTINGS | {"subset": "none-such"}))
    assert subset.find(settings, "keeper").rows == 306


def test_estimate_uses_the_dry_run_only_without_a_past_run(estimates, a_run):
    config = QLoRAConfig(**SETTINGS)
    estimates.add_dry_run(Speed(config, 100.0, 10.0, 200.0))
    found = estimates.estimate(config)
    assert not found.speed.run
    # A forward pass is about half of a step.
    assert found.seconds > 10 + 50
    run = a_run(events(), config)
    assert estimates.estimate(config).speed.run == run.id


def test_estimate_does_not_use_the_example_run(estimates, a_run, runs):
    made = a_run(events(), QLoRAConfig(**SETTINGS))
    made.folder.rename(runs.settings.runs_dir / EXAMPLE_RUN)
    assert estimates.estimate(QLoRAConfig(**SETTINGS)) is None


@pytest.mark.parametrize(("every", "steps", "passes"), [(0, 10, 2), (5, 10, 3), (3, 10, 5), (32, 64, 3), (20, 8, 2)])
def test_count_passes_includes_the_first_and_the_last_step(every, steps, passes):
    assert count_passes(QLoRAConfig(eval_steps=every), steps) == passes
