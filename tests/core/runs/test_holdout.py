"""Rows held out of a subset that has none."""

from core.data.table import HELD_OUT, TRAIN
from core.runs.config import QLoRAConfig
from core.runs.holdout import hold_out


def test_hold_out_moves_rows_if_subset_has_none():
    whole = [(number, []) for number in range(50)]
    config = QLoRAConfig(held_out_share=0.1, seed=3)
    rows = {TRAIN: list(whole), HELD_OUT: []}
    assert "5 rows are held out of training" in hold_out(config, rows)[0]
    assert len(rows[HELD_OUT]) == 5
    assert sorted(rows[TRAIN] + rows[HELD_OUT]) == whole
    again = {TRAIN: list(whole), HELD_OUT: []}
    hold_out(config, again)
    assert again == rows
    for without in (QLoRAConfig(held_out_share=0), QLoRAConfig(held_out_share=0.1, eval_rows=0)):
        rows = {TRAIN: list(whole), HELD_OUT: []}
        assert hold_out(without, rows) == []
        assert rows[TRAIN] == whole
    rows = {TRAIN: list(whole), HELD_OUT: [(99, [])]}
    assert hold_out(config, rows) == []
    assert rows == {TRAIN: whole, HELD_OUT: [(99, [])]}
