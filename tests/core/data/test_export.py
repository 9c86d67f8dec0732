import csv
import json
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset, load_from_disk
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.data import export, parse_rows, sources, subset
from core.data.export import FILE_KINDS, SPLIT_NAMES
from core.data.formats import EXPORT_FORMATS, Reading, until_last_answer
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.table import TRAIN
from core.errors import StudioError
from core.settings import Settings
from core.system.markdown import plain
from tests.helpers.datasets import copy_bundled, dialog, open_dataset, open_dialogs

# Longer than the csv module allows by itself (131,072 characters).
LONG = "x" * 500_000
NASTY = ["\ufeffmark", "a\r\nb", 'say "hi", they\nsaid', "nul \x00 here", "tab\tand\\", "'; --",
         "=SUM(A1)", " spaces ", "日本 🎈 e\u0301", "[1, 2]", '{"a": 1}', "null", "007",
         "\u2028line", "### Human", "<s"]  # fmt: skip


def create_subset(settings, data, name: str = "s", **recipe):
    return subset.create(settings, name, Recipe(dataset=data.id, held_out_share=0, **recipe))


def reopened(settings, zipped: str, kind: str, folder, form: str | None = None) -> list:
    """Return the conversations of a file in an export, opened again under the detected or a given format."""
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder)
    if kind == "dataset":
        data = sources.open_folder(settings, folder / "dataset")
    else:
        data = sources.open_file(settings, folder / f"train.{kind}")
    assert data.unreadable == 0
    reading = Reading(format=form) if form else data.detected
    return [messages for _, _, messages in Rows(settings, data.id, reading).usable_rows()]


def written(settings, name: str, missing: dict[str, list[int]]) -> list:
    gone = {row for rows in missing.values() for row in rows}
    return [until_last_answer(messages) for _, row, messages in subset.stream(settings, name) if row not in gone]


@pytest.mark.parametrize("kind", FILE_KINDS)
@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_export_of_difficult_rows_reads_back_equal_in_every_format_and_kind(settings, tmp_path, form, kind):
    if form == "text":
        data = open_dataset(settings, tmp_path, [{"text": text} for text in NASTY])
    else:
        texts = [*NASTY, LONG] if form == "messages" else NASTY
        data = open_dialogs(settings, tmp_path, [dialog(f"{i} {text}", f"{text} {i}") for i, text in enumerate(texts)])
    create_subset(settings, data)
    done = export.export(settings, "s", form, [kind])
    assert done.rows >= len(NASTY) - 3
    # A CSV of one column is a question, because its rows may have another delimiter.
    chosen = "text" if (form, kind) == ("text", "csv") else None
    assert reopened(settings, done.path, kind, tmp_path / "out", chosen) == written(settings, "s", done.not_written)


@pytest.fixture(
    scope="module",
    params=["alpaca_identity_91.json", "sharegpt_tools_300.json", "guanaco-llama2-1k-train.parquet",
            "openassistant_best_replies_eval.jsonl", "sentiment_imdb_1000.tsv"],
)  # fmt: skip
def real(request, shared_data, tmp_path_factory):
    """A home with the subset "s" of all rows of a real dataset, and the number of its usable rows."""
    home = Settings(home=tmp_path_factory.mktemp("real") / "home").prepare()
    data = sources.open_file(home, shared_data / request.param)
    create_subset(home, data)
    return home, parse_rows.parse_dataset(home, data, data.detected).usable


@pytest.mark.parametrize("form", [form for form in EXPORT_FORMATS if form != "text"])
def test_export_of_real_rows_reads_back_equal_in_every_format(real, tmp_path, form):
    """Write every kind of file once, in turn; all kinds with every format are tested above."""
    home, usable = real
    kind = FILE_KINDS[EXPORT_FORMATS.index(form) % len(FILE_KINDS)]
    done = export.export(home, "s", form, [kind])
    assert reopened(home, done.path, kind, tmp_path / "out") == written(home, "s", done.not_written)
    assert done.rows + sum(map(len, done.not_written.values())) == usable


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)
conversations = st.lists(
    st.tuples(st.none() | texts, st.lists(st.tuples(texts, texts), min_size=1, max_size=2)).map(
        lambda parts: dialog(*(text for pair in parts[1] for text in pair), system=parts[0])
    ),
    min_size=1,
    max_size=4,
)


@limits(max_examples=20)
@given(
    messages_list=conversations,
    form=st.sampled_from([form for form in EXPORT_FORMATS if form != "text"]),
    kind=st.sampled_from([kind for kind in FILE_KINDS if kind != "dataset"]),
)
def test_export_of_any_conversations_reads_back_equal(tmp_path_factory, messages_list, form, kind):
    folder = tmp_path_factory.mktemp("e")
    home = Settings(home=folder / "home").prepare()
    create_subset(home, open_dialogs(home, folder, messages_list))
    try:
        done = export.export(home, "s", form, [kind])
    except StudioError as error:
        assert "can be written in this format" in str(error)  # noqa: PT017 every row was refused, with its reason
        return
    assert reopened(home, done.path, kind, folder / "out", form) == written(home, "s", done.not_written)


@pytest.fixture
def keeper(settings):
    return copy_bundled(settings).name


def test_export_twice_gives_identical_zip_with_splits_card_and_recipe(settings, keeper, tmp_path):
    done = export.export(settings, keeper, "messages", ["jsonl", "parquet"])
    first = Path(done.path).read_bytes()
    assert Path(export.export(settings, keeper, "messages", ["jsonl", "parquet"]).path).read_bytes() == first
    with zipfile.ZipFile(done.path) as archive:
        assert set(archive.namelist()) == {
            "README.md", "recipe.json", "train.jsonl", "test.jsonl", "train.parquet", "test.parquet"
        }  # fmt: skip
        recipe = json.loads(archive.read("recipe.json"))
        archive.extractall(tmp_path)
    assert recipe["sha256"] == subset.find(settings, keeper).sha256
    assert subset.read_recipe(tmp_path / "recipe.json", "recipe.json") == subset.find(settings, keeper).recipe


def test_export_is_loaded_by_datasets_through_its_card(settings, keeper, tmp_path):
    """Load the folder with `load_dataset`, which reads the front matter of the card like the Hub."""
    done = export.export(settings, keeper, "messages", ["parquet", "dataset"])
    with zipfile.ZipFile(done.path) as archive:
        archive.extractall(tmp_path / "out")
    found = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    saved = load_from_disk(str(tmp_path / "out" / "dataset"))
    rows = subset.load(settings, keeper)
    for split, name in SPLIT_NAMES.items():
        assert found[name]["messages"] == saved[name]["messages"] == [messages for _, messages in rows[split]]


def test_data_card_is_accepted_by_the_hub_parser(settings, keeper, tmp_path):
    done = export.export(settings, keeper, "llama2", ["csv"])
    with zipfile.ZipFile(done.path) as archive:
        text = archive.read("README.md").decode()
        [*_, last] = csv.reader(archive.read("train.csv").decode().splitlines())
    card = DatasetCard(text)
    assert card.data.license == "cc-by-4.0"
    assert card.data.configs[0]["data_files"] == [
        {"split": "train", "path": "train.csv"},
        {"split": "test", "path": "test.csv"},
    ]
    assert "| train | 306 rows |" in text
    assert subset.find(settings, keeper).sha256 in text
    assert last


def test_data_card_escapes_markup_in_names(settings, tmp_path):
    data = open_dataset(settings, tmp_path, [{"messages": dialog("a", "b")}], "<img src=x>|`.jsonl")
    create_subset(settings, data)
    with zipfile.ZipFile(export.export(settings, "s", "messages", ["json"]).path) as archive:
        body = archive.read("README.md").decode().split("---", 2)[2]
    assert "<img" not in body
    assert r"&lt;img src=x>\|\`.jsonl" in body


def test_export_leaves_out_and_lists_unwritable_rows(settings, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog("a", "b"), dialog("c [/INST]", "d"), dialog("e", "f", "g")])
    create_subset(settings, data)
    done = export.export(settings, "s", "llama2", ["jsonl"])
    [reason] = done.not_written
    assert done.not_written[reason] == [1]
    assert done.describe() == f"2 rows written, 1 left out (1: {reason})"
    with zipfile.ZipFile(done.path) as archive:
        assert json.loads(archive.read("recipe.json"))["not_written"] == {reason: [1]}
        assert f"- 1: {plain(reason)}" in archive.read("README.md").decode()
    assert [row for row, _ in subset.load(settings, "s")[TRAIN]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("form", "kinds", "why"),
    [
        ("nope", ["jsonl"], "no export format 'nope'. Expected one of llama2"),
        ("llama2", ["xlsx"], "no kind of file 'xlsx'"),
        ("llama2", [], "No kind of file is chosen"),
        ("text", ["jsonl"], "No row of 'keeper' can be written"),
    ],
)
def test_export_of_invalid_request_raises_and_leaves_no_file(settings, keeper, form, kinds, why):
    with pytest.raises(StudioError, match=why):
        export.export(settings, keeper, form, kinds)
    assert list(settings.exports_dir.iterdir()) == []


def test_write_parquet_of_batches_with_different_types_keeps_all_values(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_BATCH_ROWS", 2)
    plain = {"messages": [{"role": "user", "content": "a"}], "history": [], "score": None}
    marked = {"messages": [{"role": "assistant", "content": "b", "weight": 0}], "history": [["q", "a"]], "score": 0.5}
    path = export.write_rows(tmp_path, "rows", "parquet", iter([plain, plain, marked]))
    last = pq.read_table(path).to_pylist()[-1]
    assert last == marked
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.parquet"]
