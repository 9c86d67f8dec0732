"""The Data tab's actions on real homes: pages, rows in three views, cuts, exports, and every refusal a sentence."""

import html
import io
import json
import re
import zipfile

import gradio as gr
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.paged_table import last_page
from core.data import sources, subset, table
from core.data.formats import EXPORT_FORMATS
from core.data.readers import SUFFIXES
from core.data.subset import Recipe
from core.data.table import Rows
from core.errors import StudioError
from core.settings import inside
from studio.data_tab import HEADERS, NO_ROW, VIEWS, DataActions, _cut_validator

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def do(settings):
    subset.ensure_bundled(settings)
    return DataActions(settings)


@pytest.fixture
def keeper(do):
    return table.opened_datasets(do.settings)[0]


@pytest.fixture
def mixed(do, tmp_path):
    """Three usable rows, one of them hostile, one ending on a question; two rows that cannot be used."""
    rows = [
        {"messages": [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": f"</td>{HOSTILE}"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}] * 2},
        {"messages": [{"role": r, "content": r} for r in ("user", "assistant", "user")]},
        {"messages": [{"role": HOSTILE, "content": "?"}]},
    ]
    file = tmp_path / "<b>mixed</b>.jsonl".replace("/", "")
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{not JSON\n")
    return sources.open_file(do.settings, file)


# Pages


def test_a_page_shows_its_rows_as_they_are(do, keeper):
    shown, number, words = do.page(keeper.id, 2, 25)
    assert number == 2
    assert words.startswith("rows 26 to 50 of ")
    assert [len(row) for row in shown] == [len(HEADERS)] * 25
    assert [row[0] for row in shown] == list(range(25, 50))
    record = Rows(do.settings, keeper.id).row(25)
    assert shown[0][1:3] == [record["split"], record["turns"]]
    assert record["messages"][0]["content"].startswith(shown[0][3])
    assert record["messages"][1]["content"].startswith(shown[0][4])


def test_all_pages_together_show_every_row_once(do, keeper):
    pages = [do.page(keeper.id, page, 100)[0] for page in range(1, last_page(keeper.rows, 100) + 1)]
    assert [row[0] for page in pages for row in page] == list(range(keeper.rows))


@pytest.mark.parametrize(("wished", "shown"), [(-5, 1), (0, 1), (None, 1), (10**6, "last")])
def test_a_page_that_is_not_there_leads_to_one_that_is(do, keeper, wished, shown):
    rows, number, _ = do.page(keeper.id, wished, 25)
    assert number == (last_page(keeper.rows, 25) if shown == "last" else shown)
    assert rows


def test_an_unusable_row_says_why_in_the_table(do, mixed):
    rows, _, words = do.page(mixed.id, 1, 25)
    assert words == "rows 1 to 5 of 5, page 1 of 1"
    assert rows[0][3] == HOSTILE, "cells are text: the table shows them as they are"
    assert rows[3][4].startswith("⚠ cannot be used: unknown role")
    assert rows[4][4] == "⚠ cannot be used: cannot be read"


@pytest.mark.parametrize("dataset", ["nope", "../x", "", "a/b", None])
def test_an_unknown_data_set_is_refused_by_name(do, dataset):
    for ask in (lambda: do.page(dataset, 1, 25), lambda: do.summary(dataset), lambda: do.row(dataset, 0, VIEWS[0], 9)):
        with pytest.raises(StudioError, match=re.escape(repr(dataset)) if dataset else None):
            ask()


def test_the_summary_counts_and_warns_without_live_markup(do, mixed, keeper):
    words = do.summary(mixed.id)
    for fact in ("<b>5</b> rows", "<b>3</b> usable", "<b>1</b> end on a user turn", "line 5 is not JSON"):
        assert fact in words
    assert words.count("qs-chip warn") == 3
    assert "<img" not in words
    assert f"<b>{keeper.splits['held-out']:,}</b> held-out" in do.summary(keeper.id)


# A row in three views


def test_a_row_as_a_conversation(do, keeper):
    record = Rows(do.settings, keeper.id).row(3)
    shown = do.row(keeper.id, 3, "Conversation", 1024)
    assert shown.count('<div class="qs-turn ') == len(record["messages"])
    assert all(html.escape(message["content"]) in shown for message in record["messages"])


def test_a_row_as_raw_json(do, mixed):
    shown = do.row(mixed.id, 0, "Raw JSON", 1024)
    text = html.unescape(re.fullmatch(r'<div class="qs-raw" dir="auto">(.*)</div>', shown, re.DOTALL).group(1))
    assert json.loads(text)["messages"][0] == {"role": "user", "content": HOSTILE}


def test_a_row_as_tokens_is_what_the_renderer_gives_the_trainer(studio, tokenizer):
    from core.data.tokens import Renderer

    data = sources.open_bundled(studio)
    shown = DataActions(studio).row(data.id, 0, "Tokens", 10_000)
    rendered = Renderer(tokenizer).render(Rows(studio, data.id).row(0)["messages"])
    pieces = re.findall(r'<span class="(loss|user|assistant)">(.*?)</span>', shown, re.DOTALL)
    assert [kind == "loss" for kind, _ in pieces] == [label >= 0 for label in rendered.labels]
    assert "".join(html.unescape(text) for _, text in pieces).replace("↵\n", "\n") == rendered.text
    assert f"<b>{rendered.length:,}</b> tokens" in shown
    assert f"<b>{rendered.learns:,}</b> carry loss" in shown
    assert "cut here" not in shown


def test_tokens_past_the_maximum_length_are_left_out_with_a_note(studio):
    data = sources.open_bundled(studio)
    shown = DataActions(studio).row(data.id, 0, "Tokens", 12)
    assert len(re.findall(r'<span class="(?:loss|user|assistant)">', shown)) == 12
    assert "cut here at 12 tokens" in shown


def test_hostile_tokens_are_inert(studio, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"instruction": HOSTILE, "output": "<script>alert(1)</script>"}))
    shown = DataActions(studio).row(sources.open_file(studio, file).id, 0, "Tokens", 1024)
    assert set(re.findall(r"<(\w+)", shown)) == {"div", "span", "b"}


@pytest.mark.parametrize("view", VIEWS)
def test_an_unusable_row_is_shown_raw_and_inert_in_every_view(do, mixed, view):
    shown = do.row(mixed.id, 3, view, 1024)
    assert "qs-raw" in shown
    assert "<img" not in shown
    assert ("cannot be used" in shown) == (view != "Raw JSON")


def test_before_a_row_is_chosen_there_is_a_hint(do, keeper):
    assert NO_ROW in do.row(keeper.id, None, VIEWS[0], 1024)


@pytest.mark.parametrize("number", [-1, 10**6])
def test_a_row_that_is_not_there_is_refused_with_the_range(do, keeper, number):
    with pytest.raises(StudioError, match=f"{number}. Expected 0 to {keeper.rows - 1}"):
        do.row(keeper.id, number, VIEWS[0], 1024)


# Opening


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_every_kind_opens(do, tmp_path, suffix):
    import pandas as pd

    frame = pd.DataFrame([{"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"}])
    file = tmp_path / f"some{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(file)
    elif suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=suffix == ".jsonl")
    chosen = do.open_file(str(file))["value"]
    assert [row[3:] for row in do.page(chosen, 1, 25)[0]] == [["a", "b"], ["c", "d"]]
    assert chosen in [value for _, value in do.dataset_choices()]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"", "empty"),
        ("a.txt", b"x", "ends in '.txt'"),
        ("a.jsonl", b"\xff\xfe\x00", "not UTF-8"),
        ("a.json", b"[1, 2", "not JSON"),
        ("a.jsonl", b'{"column": 1}\n', "No known format"),
        ("a.parquet", b"PAR1 no", "not a readable Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_leaves_nothing(do, tmp_path, name, content, words):
    before = sorted(do.settings.datasets_dir.iterdir())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StudioError, match=words):
        do.open_file(str(tmp_path / name))
    assert sorted(do.settings.datasets_dir.iterdir()) == before


def test_no_file_and_no_hub_id_are_refused(do):
    with pytest.raises(StudioError, match=r"\.jsonl"):
        do.open_file(None)
    with pytest.raises(StudioError, match="owner/name"):
        do.open_hub("not a hub id", "", "", "")


# Cutting, describing, exporting


def recipe(keeper, **over):
    return {"dataset": keeper.id, "rows": 10, "method": "random", "seed": 1, "held_out_share": 0.1} | over


def test_a_cut_is_offered_first_and_described(do, keeper):
    update = do.cut(" ten ", **recipe(keeper))
    assert update["value"] == "ten"
    assert do.subset_choices()[0] == ("ten (10 + 34 held out)", "ten")
    words = do.describe("ten")
    made = subset.find(do.settings, "ten")
    assert "10 rows to train on and 34 held out" in words
    assert made.sha256[:12] in words
    assert made.recipe == Recipe(**recipe(keeper))
    assert do.on_load()[1]["value"] == "ten"


def test_unusable_rows_are_counted_in_the_description(do, mixed):
    do.cut("some", **recipe(mixed, rows=0, held_out_share=0))
    assert "<b>2</b> unusable rows left out" in do.describe("some")
    assert "<img" not in do.describe("some")


def test_an_empty_rows_box_takes_all(do, keeper):
    do.cut("all", **recipe(keeper, rows=None))
    assert subset.find(do.settings, "all").rows == keeper.splits["train"]


@pytest.mark.parametrize(
    ("name", "over", "words"),
    [
        ("many", {"rows": 10**6}, "1,000,000 rows were asked for"),
        ("keeper", {}, "exists already"),
        ("../x", {}, "cannot be used as a subset name"),
        ("", {}, "cannot be used as a subset name"),
        ("x", {"dataset": "nope"}, "no open data set 'nope'"),
    ],
)
def test_a_cut_that_cannot_be_is_refused_and_leaves_nothing(do, keeper, name, over, words):
    before = sorted(do.settings.subsets_dir.iterdir())
    with pytest.raises(StudioError, match=words):
        do.cut(name, **recipe(keeper, **over))
    assert sorted(do.settings.subsets_dir.iterdir()) == before


def test_the_cuts_validator_answers_in_the_order_of_its_inputs(keeper):
    values = recipe(keeper, rows=-1)
    results = _cut_validator(values.pop("dataset"), "  ", **values)
    assert [result["is_valid"] for result in results] == [True, False, False, True, True, True]
    assert "-1" in results[2]["message"]


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80), st.one_of(st.none(), st.integers(0, 10**9)))
def test_a_suggested_name_can_be_used(do, tmp_path, name, rows):
    source = table.Source(kind="upload", name=f"{name}.jsonl", key="0" * 64)
    about = table.ingest(do.settings, source, [("train", {"instruction": "a", "output": "b"})])
    assert inside(do.settings.subsets_dir, do.suggest_name(about.id, rows), "subset name")


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_an_export_holds_the_rows_twice_and_the_recipe(do, keeper, form):
    do.cut("ten", **recipe(keeper))
    path = do.export("ten", form)
    assert path.startswith(str(do.settings.exports_dir))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("recipe.json"))["sha256"] == subset.find(do.settings, "ten").sha256
        for split, rows in (("train", 10), ("held-out", 34)):
            lines = [json.loads(line) for line in archive.read(f"{split}.jsonl").splitlines()]
            assert len(lines) == rows
            assert pq.read_table(io.BytesIO(archive.read(f"{split}.parquet"))).to_pylist() == lines


@pytest.mark.parametrize(("name", "form"), [("none-such", "llama2"), ("../keeper", "llama2"), ("keeper", "zip")])
def test_an_export_that_cannot_be_is_refused(do, name, form):
    with pytest.raises(StudioError):
        do.export(name, form)
    assert list(do.settings.exports_dir.iterdir()) == []


def test_on_load_a_page_sees_what_another_one_opened(do, mixed):
    datasets, subsets = do.on_load()
    assert datasets["value"] == mixed.id
    assert len(datasets["choices"]) == 2
    assert subsets["value"] == "keeper"
    assert do.describe(None) == do.describe("")


def test_an_empty_home_has_nothing_to_choose(settings):
    assert DataActions(settings).on_load() == (gr.update(choices=[], value=None), gr.update(choices=[], value=None))
