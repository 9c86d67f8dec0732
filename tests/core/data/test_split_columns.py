"""Columns that name the splits of the rows are pointed out."""

import re

import pytest

from core.data.rows import Rows
from core.data.split_columns import SplitColumns
from core.data.sql_box import select_row_numbers
from tests.helpers.datasets import open_dataset

TEXT = {"question": "How do tides come about?", "answer": "The moon pulls the water."}

NAMED = {
    "split": (["train", "test", "train"], "= 'train'"),
    "Split": (["TRAIN", "Validation", "train"], "IN ('TRAIN', 'train')"),
    "dataset_split": (["training", "held-out", "dev"], "= 'training'"),
    "partition": (["train_sft", "test_sft", "train_gen"], "IN ('train_sft', 'train_gen')"),
    "subset": (["train", "eval", None], "= 'train'"),
    "is_test": (["false", "true", "false"], "= 'false'"),
    "is_train": (["1", "0", "1"], "= '1'"),
}


@pytest.mark.parametrize("name", NAMED)
def test_column_of_splits_is_named(name):
    columns = SplitColumns()
    cells, condition = NAMED[name]
    columns.count(name, cells)
    [sentence] = columns.sentences()
    assert repr(name) in sentence
    assert f"{condition} ORDER BY row" in sentence


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("split", ["train", "train"]),
        ("split", ["test", "test"]),
        ("split", ["vertical", "horizontal"]),
        ("split", ["train", "bus", "test"]),
        ("subset", ["math", "code"]),
        ("transport", ["train", "test"]),
        ("is_test", ["maybe", "true"]),
        ("fold", [str(i) for i in range(50)]),
    ],
)
def test_other_columns_are_not_named(name, cells):
    columns = SplitColumns()
    columns.count(name, cells)
    assert columns.sentences() == []


@pytest.mark.parametrize("name", ["split", "data split", "partition"])
def test_sql_of_the_sentence_selects_the_rows_for_training(settings, tmp_path, name):
    rows = [TEXT | {name: split} for split in ("train", "test", "train")]
    data = open_dataset(settings, tmp_path, rows)
    [sentence] = data.complaints
    assert "(2 train and 1 test rows)" in sentence
    statement = re.search("SELECT .*", sentence)[0]
    assert select_row_numbers(Rows(settings, data.id), statement) == [0, 2]


def test_sql_of_the_sentence_selects_every_split_for_training(settings, tmp_path):
    rows = [TEXT | {"partition": split} for split in ("train_sft", "test_sft", "train_gen's")]
    data = open_dataset(settings, tmp_path, rows)
    statement = re.search("SELECT .*", data.complaints[0])[0]
    assert select_row_numbers(Rows(settings, data.id), statement) == [0, 2]
