"""Failures of a rank, as its worker receives them."""

from core.runs.config import QLoRAConfig
from core.train import rank_process, worker
from core.train.distributed import RankGroup, RankLostError
from core.train.rank_launcher import RankResult


def test_rank_failure_has_cause_of_single_process(runs, tmp_path):
    run = runs.create(QLoRAConfig(gpus=2))
    run.save_config(QLoRAConfig(gpus=2, subset="nowhere"))
    result = rank_process._train(run, RankGroup(1, 2), tmp_path / "rendezvous")
    assert (result.status, result.is_lost) == ("failed", False)
    assert "no subset 'nowhere'" in result.cause
    assert run.events() == [], "the first rank reports"


def test_lost_rank_result_is_marked_lost(runs, tmp_path, monkeypatch):
    def lost(*_):
        raise RankLostError("another GPU's process did not answer: closed")

    monkeypatch.setattr(worker, "train", lost)
    result = rank_process._train(runs.create(QLoRAConfig()), RankGroup(1, 2), tmp_path)
    assert result == RankResult("failed", "Training ended: another GPU's process did not answer: closed", is_lost=True)
