"""Batches are split between ranks, and two ranks train with the losses of one."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.train import distributed as ranking
from core.train.distributed import SINGLE, RankGroup
from tests.helpers.second_rank import losses_of
from tests.helpers.tiny_model import random_rows


@given(lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=64), count=st.integers(1, 8))
def test_shard_covers_batch_once_and_evenly(lengths, count):
    rows = [{"row": at, "input_ids": range(length)} for at, length in enumerate(lengths)]
    shares = [[row["row"] for row in RankGroup(number, count).shard(rows)] for number in range(count)]
    assert sorted(at for share in shares for at in share) == list(range(len(rows)))
    assert all(share == sorted(share) for share in shares), "in their order"
    assert max(map(len, shares)) <= -(-len(rows) // count)
    if len(rows) % count == 0:
        assert len({len(share) for share in shares}) == 1
        tokens = [sum(lengths[at] for at in share) for share in shares]
        assert max(tokens) - min(tokens) <= max(lengths)


def test_shard_long_row_leaves_its_rank_with_fewer_rows():
    rows = [{"row": at, "input_ids": range(length)} for at, length in enumerate([100, *[1] * 8])]
    assert [len(RankGroup(number, 4).shard(rows)) for number in range(4)] == [1, 3, 3, 2]


@given(sizes=st.lists(st.integers(1, 50), max_size=20), most=st.integers(1, 60))
def test_buckets_hold_every_tensor_once_within_limit(sizes, most):
    tensors = [torch.zeros(size, dtype=torch.float32 if size % 3 else torch.float64) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_BUCKET_ELEMENTS", most)
        buckets = list(ranking._buckets(tensors))
    assert [id(t) for bucket in buckets for t in bucket] == [id(t) for t in tensors]
    for bucket in buckets:
        assert len(bucket) == 1 or sum(t.numel() for t in bucket) <= most
        assert len({t.dtype for t in bucket}) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("Connection closed by peer"), ranking.RankLostError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
    ],
)
def test_only_another_ranks_failure_is_reported_as_a_lost_rank(error, expected):
    with pytest.raises(expected), ranking._rank_lost_on_failure():
        raise error


def test_single_rank_gathers_and_shards_everything():
    assert SINGLE.all_gather("a word") == ["a word"]
    assert SINGLE.shard([{"row": 1, "input_ids": [1]}]) == [{"row": 1, "input_ids": [1]}]


@pytest.mark.slow
def test_two_ranks_match_losses_of_one(tmp_path, tokenizer, fork_server):
    """Use nine rows, four per pass: the last batch of an epoch has one row, so that one rank has none."""
    rows = random_rows([30, 12, 45, 7, 60, 9, 33, 21, 50])
    over = {"max_steps": 7, "learning_rate": 1e-2, "scheduler": "constant", "gradient_accumulation": 2}
    alone, held_out = losses_of(tmp_path / "alone", tokenizer, rows, **over)
    tokenizer.save_pretrained(tmp_path / "words")
    about = {"rows": rows, "over": over, "tokenizer": str(tmp_path / "words")}
    (tmp_path / "given.json").write_text(json.dumps(about))
    log = tmp_path / "second.log"
    second = fork_server.start("tests.helpers.second_rank", str(tmp_path), log=log, environment={})
    try:
        together, held_out_together = losses_of(tmp_path, tokenizer, rows, RankGroup(0, 2), **over)
        second.wait(timeout=60)
    finally:
        second.kill()
        second.wait()
        ranking._cpu_group.cache_clear()
    assert second.returncode == 0, log.read_text()
    assert len(alone) == 7
    assert together == pytest.approx(alone, rel=1e-5)
    assert held_out_together == pytest.approx(held_out, rel=1e-5)
    assert json.loads((tmp_path / "second.json").read_text()) == [together, held_out_together]
