"""What a rank tells its worker of what went wrong in it."""

from core.runs.config import QLoRAConfig
from core.train import rank_process, worker
from core.train.distributed import RankLost, Ranks
from core.train.rank_launcher import Said


def test_what_goes_wrong_in_a_rank_is_told_as_it_would_be_of_one_process(runs, tmp_path):
    run = runs.create(QLoRAConfig(gpus=2))
    run.save_config(QLoRAConfig(gpus=2, subset="nowhere"))
    said = rank_process._trained(run, Ranks(1, 2), tmp_path / "meeting")
    assert (said.status, said.lost) == ("failed", False)
    assert "no subset 'nowhere'" in said.cause
    assert run.events() == [], "the first rank reports"


def test_that_another_rank_is_gone_is_no_cause_of_its_own(runs, tmp_path, monkeypatch):
    def lost(*_):
        raise RankLost("another GPU's process did not answer: closed")

    monkeypatch.setattr(worker, "train", lost)
    said = rank_process._trained(runs.create(QLoRAConfig()), Ranks(1, 2), tmp_path)
    assert said == Said("failed", "Training ended: another GPU's process did not answer: closed", lost=True)
