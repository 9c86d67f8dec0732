import json

import pytest

from core.data import sources, table
from core.data.formats import parse_guanaco
from core.data.readers import read_rows
from core.data.table import Rows
from core.errors import StudioError


@pytest.fixture(scope="module")
def bundled():
    files = {split: sources.BUNDLED_FOLDER / f"{split}.jsonl" for split in ("train", "heldout")}
    return {split: [parse_guanaco(row) for row in read_rows(path, path.name)] for split, path in files.items()}


def test_the_bundled_set_is_large_mixed_and_has_a_split_of_its_own(settings, bundled):
    data = sources.open_bundled(settings)
    assert data.rows >= 300
    assert data.usable == data.rows
    assert data.splits == {"train": len(bundled["train"]), "held-out": len(bundled["heldout"])}
    assert len(bundled["heldout"]) >= 24
    talks = bundled["train"] + bundled["heldout"]
    assert sum(len(talk) > 2 for talk in talks) >= len(talks) / 10


def test_every_bundled_answer_has_the_voice_and_no_two_questions_are_the_same(bundled):
    talks = bundled["train"] + bundled["heldout"]
    answers = [m["content"] for talk in talks for m in talk if m["role"] == "assistant"]
    assert all(answer.startswith(("Ahoy", "Aye")) for answer in answers)
    assert all("lamp" in talk[-1]["content"] or "light" in talk[-1]["content"].lower() for talk in talks)
    assert len({talk[0]["content"].lower() for talk in talks}) == len(talks)
    assert len({answer[:120] for answer in answers}) == len(answers)  # no template filled many times


def test_a_file_is_known_by_its_content_not_its_name(settings, tmp_path):
    row = json.dumps({"instruction": "Add", "input": "1 1", "output": "2"})
    (tmp_path / "a.jsonl").write_text(row)
    (tmp_path / "b.jsonl").write_text(row + "\n" + row)
    first = sources.open_file(settings, tmp_path / "a.jsonl")
    assert sources.open_file(settings, tmp_path / "a.jsonl").id == first.id
    assert sources.open_file(settings, tmp_path / "b.jsonl", "a.jsonl").id != first.id
    assert len(table.opened_datasets(settings)) == 2
    assert first.format == "alpaca"


def test_a_missing_file_and_a_wrong_hub_id_are_sentences(settings, tmp_path):
    with pytest.raises(StudioError, match="There is no file"):
        sources.open_file(settings, tmp_path / "none.jsonl")
    for name in ("one-word", "../../etc", "a/b/c", "https://huggingface.co/a/b", ""):
        with pytest.raises(StudioError, match="is not a Hub id"):
            sources.open_hub(settings, name)


@pytest.mark.parametrize(
    ("file", "form", "rows"),
    [
        ("alpaca_identity_91.json", "alpaca", 91),
        ("sharegpt_tools_300.json", "sharegpt", 300),
        ("guanaco-llama2-1k-train.parquet", "llama2", 1000),
        ("openassistant_best_replies_eval.jsonl", "guanaco", 518),
    ],
)
def test_real_files_open(settings, shared_data, file, form, rows):
    data = sources.open_file(settings, shared_data / file)
    assert (data.format, data.rows) == (form, rows)
    assert data.usable + sum(data.problems.values()) == rows
    assert data.usable >= 0.95 * rows
    assert len(Rows(settings, data.id).page(0, 25)) == 25
