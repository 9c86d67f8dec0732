"""Datasets opened from the bundled set, files and folders."""

import hashlib

import pytest
from datasets import Dataset as Table
from datasets import DatasetDict

from core.data import parse_rows, sources, table
from core.data.formats import Reading
from core.data.readers import read_rows
from core.data.rows import Rows
from core.data.view import View
from core.errors import StudioError
from tests.helpers.datasets import json_lines

ROW = {"instruction": "Add", "input": "1 1", "output": "2"}


@pytest.fixture(scope="module")
def bundled():
    files = {split: sources.BUNDLED_FOLDER / f"{split}.jsonl" for split in ("train", "heldout")}
    return {
        split: [Reading(format="guanaco").parse(read.row) for read in read_rows(path, path.name)]
        for split, path in files.items()
    }


def test_bundled_dataset_is_large_mixed_and_split(settings, bundled):
    data = sources.open_bundled(settings)
    assert data.rows >= 300
    assert parse_rows.parse_dataset(settings, data, data.detected).usable == data.rows
    assert data.splits == {"train": len(bundled["train"]), "held-out": len(bundled["heldout"])}
    assert len(bundled["heldout"]) >= 24
    talks = bundled["train"] + bundled["heldout"]
    assert sum(len(talk) > 2 for talk in talks) >= len(talks) / 10


def test_bundled_dataset_has_consistent_answers_and_unique_questions(bundled):
    talks = bundled["train"] + bundled["heldout"]
    answers = [m["content"] for talk in talks for m in talk if m["role"] == "assistant"]
    assert all(answer.startswith(("Ahoy", "Aye")) for answer in answers)
    assert all("lamp" in talk[-1]["content"] or "light" in talk[-1]["content"].lower() for talk in talks)
    assert len({talk[0]["content"].lower() for talk in talks}) == len(talks)
    # No template was filled many times.
    assert len({answer[:120] for answer in answers}) == len(answers)


def test_open_file_identifies_content_not_name(settings, tmp_path):
    (tmp_path / "a.jsonl").write_text(json_lines([ROW]))
    (tmp_path / "b.jsonl").write_text(json_lines([ROW, ROW]))
    first = sources.open_file(settings, tmp_path / "a.jsonl")
    assert first.source.key == hashlib.sha256((tmp_path / "a.jsonl").read_bytes()).hexdigest()
    assert sources.open_file(settings, tmp_path / "a.jsonl").id == first.id
    assert sources.open_file(settings, tmp_path / "b.jsonl", "a.jsonl").id != first.id
    assert len(table.opened_datasets(settings)) == 2


def test_open_missing_file_or_invalid_hub_id_is_rejected(settings, tmp_path):
    with pytest.raises(StudioError, match="There is no file"):
        sources.open_file(settings, tmp_path / "none.jsonl")
    for name in ("one-word", "../../etc", "a/b/c", "https://huggingface.co/a/b", ""):
        with pytest.raises(StudioError, match="is not a Hub id"):
            sources.open_hub(settings, name)


def test_open_folder_keeps_splits(settings, tmp_path):
    DatasetDict(validation=Table.from_list([ROW]), train=Table.from_list([ROW] * 3)).save_to_disk(str(tmp_path / "s"))
    shares: list[float] = []
    data = sources.open_folder(settings, tmp_path / "s", lambda share, words: shares.append(share))
    assert data.splits == {"train": 3, "held-out": 1}
    assert shares[-1] == 1.0
    with pytest.raises(StudioError, match="was not saved by datasets"):
        sources.open_folder(settings, tmp_path)


def test_open_folder_with_single_split_uses_it_for_training(settings, tmp_path):
    DatasetDict(test=Table.from_list([ROW] * 2)).save_to_disk(str(tmp_path / "s"))
    assert sources.open_folder(settings, tmp_path / "s").splits == {"train": 2}


@pytest.mark.parametrize(
    ("file", "form", "rows"),
    [
        ("alpaca_identity_91.json", "alpaca", 91),
        ("sharegpt_tools_300.json", "sharegpt", 300),
        ("guanaco-llama2-1k-train.parquet", "llama2", 1000),
        ("openassistant_best_replies_eval.jsonl", "guanaco", 518),
        ("sentiment_imdb_1000.tsv", "label", 1000),
    ],
)
def test_open_real_file_detects_format(settings, shared_data, file, form, rows):
    data = sources.open_file(settings, shared_data / file)
    about = parse_rows.parse_dataset(settings, data, data.detected)
    assert (data.detected.format, data.rows) == (form, rows)
    assert about.usable + sum(about.problems.values()) == rows
    assert about.usable >= 0.95 * rows
    assert len(Rows(settings, data.id).page(View(), 0, 25)) == 25


@pytest.mark.parametrize("name", ["test", "Validation", "test_sft", "validation_matched", "held-out", "eval"])
def test_open_folder_holds_out_evaluation_split_by_first_word(settings, tmp_path, name):
    row = {"prompt": "a", "completion": "b"}
    tables = DatasetDict({name: Table.from_list([row]), "train_sft": Table.from_list([row] * 2)})
    tables.save_to_disk(str(tmp_path / "saved"))
    assert sources.open_folder(settings, tmp_path / "saved").splits == {"train": 2, "held-out": 1}


SAMPLES = {
    "SHIFT_JIS": ("shift_jis", "日本の首都は?", "東京です。"),
    "CP932": ("cp932", "①日本の首都は?", "東京です。"),
    "EUC-JP": ("euc_jp", "日本の首都は?", "東京です。"),
    "GB18030": ("gbk", "什么是龙骨？", "是船的脊梁。"),
    "BIG5": ("big5", "什麼是龍骨？", "是船的脊樑。"),
    "EUC-KR": ("euc_kr", "바다는 왜 짠가요?", "강물이 소금을 나릅니다."),
    "WINDOWS-1251": ("cp1251", "Кто такой кит?", "Это зверь, и он живёт в море."),
    "KOI8-R": ("koi8_r", "Кто такой кит?", "Это зверь, и он живёт в море."),
    "CP866": ("cp866", "Кто такой кит?", "Это зверь, и он живёт в море."),
    "WINDOWS-1253": ("cp1253", "Τι κάνεις;", "Είμαι καλά, ευχαριστώ."),
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "txt"])
@pytest.mark.parametrize("label", SAMPLES)
def test_file_in_another_encoding_is_refused_with_the_way_to_convert_it(settings, tmp_path, label, ending):
    codec, question, answer = SAMPLES[label]
    line = {
        "csv": f'"{question}","{answer}"',
        "tsv": f"{question}\t{answer}",
        "jsonl": f'{{"question": "{question}", "answer": "{answer}"}}',
        "txt": question,
    }[ending]
    header = {"csv": "question,answer\n", "tsv": "question\tanswer\n"}.get(ending, "")
    path = tmp_path / f"rows.{ending}"
    path.write_bytes((header + f"{line}\n" * 6).encode(codec))
    with pytest.raises(StudioError) as refused:
        sources.open_file(settings, path)
    assert f"It looks like {label} (" in str(refused.value)
    assert question in str(refused.value)
    assert str(refused.value).endswith(f"Convert it: iconv -f {label} -t UTF-8")
    assert "double quotes" not in str(refused.value)
