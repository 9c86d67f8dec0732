"""Measured losses as columns: sorted, filtered, selected by, and missed."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.access import roles
from core.data import row_losses, sql_box, subset
from core.data.histogram import histogram
from core.data.recipe import Recipe
from core.data.row_losses import BETWEEN, KNOWN, LEARNED, NEVER, SCHEMA, SOURCE_KEY, SPEED_KEY, LossSource
from core.data.rows import Rows
from core.data.view import Filter, View
from core.errors import StudioError
from tests.helpers.datasets import dialog, open_dialogs

# Base loss and loss under the run, in the order of the rows; the last row has none.
LOSSES = [(0.2, 0.1), (0.693, 0.693), (2.0, 1.0), (2.0, 1.777), (2.0, 1.9), (2.0, 1.97), (3.0, 3.5), (None, None)]
CLASSES = [KNOWN, KNOWN, LEARNED, LEARNED, BETWEEN, NEVER, NEVER, None]


def write(settings, data, source, losses, rows=None):
    path = row_losses.path_of(settings, data, data.detected, source)
    path.parent.mkdir(exist_ok=True)
    records = [
        {"row": row, "base_loss": base, "tuned_loss": tuned, "tokens": 4, "truncated": row % 2 == 1,
         "note": "refused" if base is None else None}
        for row, (base, tuned) in zip(rows or range(len(losses)), losses, strict=True)
    ]  # fmt: skip
    metadata = {SOURCE_KEY: source.model_dump_json().encode(), SPEED_KEY: b"50.0"}
    pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA.with_metadata(metadata)), path)


@pytest.fixture
def data(settings, tmp_path):
    """Open ten usable rows and one that cannot be used."""
    dialogs = [dialog(f"question {i}", f"answer {i}") for i in range(10)]
    return open_dialogs(settings, tmp_path, [*dialogs, [{"role": "user", "content": "?"}]])


@pytest.fixture
def of_run():
    return LossSource(base='["tiny"]', max_length=64, run="some-run", adapter="final", adapter_sha256="abc")


@pytest.fixture
def of_base():
    return LossSource(base='["tiny"]', max_length=64)


def test_thresholds_are_those_of_a_probability():
    assert math.exp(-row_losses.KNOWN_LOSS) == pytest.approx(0.5, abs=1e-3)
    assert math.exp(row_losses.LEARNED_FALL) == pytest.approx(1.25, abs=1e-3)
    assert math.exp(row_losses.NEVER_FALL) == pytest.approx(1.05, abs=1e-3)


def test_losses_are_columns_that_keep_rows_without_one(settings, data, of_run):
    write(settings, data, of_run, LOSSES)
    rows = Rows(settings, data.id, losses=of_run)
    page = rows.page(View(), 0, 20, ["row", "base_loss", "loss_fall", "learning"]).to_dict("records")
    assert len(page) == 11
    assert [record["learning"] if isinstance(record["learning"], str) else None for record in page] == [
        *CLASSES, *[None] * 3
    ]  # fmt: skip
    assert rows.row_numbers(View(sort="base_loss", descending=True))[:2] == [6, 2]
    assert rows.row_numbers(View(filters=[Filter(column="learning", values=[NEVER])])) == [5, 6]
    bars = {bar.label: bar.count for bar in histogram(rows, "learning").bars}
    assert bars == {KNOWN: 2, LEARNED: 2, NEVER: 2, BETWEEN: 1}
    shown = histogram(rows, "base_loss")
    assert (sum(bar.count for bar in shown.bars), shown.empty) == (7, 4)
    for bar in shown.bars:
        assert rows.count(View(filters=[bar.chosen])) == bar.count
    found = sql_box.run_select(rows, "SELECT learning, count(*) FROM rows WHERE base_loss > 1 GROUP BY 1 ORDER BY 1")
    assert found.rows == [[BETWEEN, 1], [LEARNED, 2], [NEVER, 2]]
    summary = row_losses.summarize(row_losses.find(settings, data, data.detected, of_run), of_run)
    assert summary.classes == {KNOWN: 2, LEARNED: 2, BETWEEN: 1, NEVER: 2}
    assert (summary.rows, summary.missing, summary.caution) == (7, {"refused": 1}, "")
    write(settings, data, of_run, LOSSES[5:])
    summary = row_losses.summarize(row_losses.find(settings, data, data.detected, of_run), of_run)
    assert summary.caution.startswith("more rows were never learned than learned")


def test_losses_of_a_base_alone_have_no_columns_of_a_run(settings, data, of_base):
    write(settings, data, of_base, [(1.0, None)])
    fields = Rows(settings, data.id, losses=of_base).fields
    assert set(row_losses.BASE_COLUMNS) < set(fields)
    assert not set(row_losses.RUN_COLUMNS) & set(fields)


def test_subset_of_the_highest_losses_records_their_source_and_misses_them_later(settings, data, of_base):
    write(settings, data, of_base, [(float(row % 7), None) for row in range(10)])
    view = View(sort="base_loss", descending=True)
    recipe = Recipe(dataset=data.id, view=view, method="first", rows=3, held_out_share=0, losses=of_base)
    made = subset.create(settings, "hardest", recipe)
    assert sorted(row for row, _ in subset.load(settings, "hardest")["train"]) == [4, 5, 6]
    assert subset.find(settings, "hardest").recipe.losses == of_base
    assert "by the losses under tiny, template auto, 64 tokens at most" in made.describe()
    row_losses.path_of(settings, data, data.detected, of_base).unlink()
    with pytest.raises(StudioError, match=r"The losses of the rows of .* under tiny, .* are not on this machine"):
        subset.create(settings, "again", recipe)
    # The subset itself has copied its rows.
    assert len(subset.load(settings, "hardest")["train"]) == 3


def test_available_lists_measurements_without_damaged_files_and_for_visitors_without_runs(
    settings, data, of_base, of_run
):
    write(settings, data, of_base, [(1.0, None)])
    write(settings, data, of_run, [(1.0, 0.5)])
    folder = row_losses.folder(settings, data, data.detected)
    (folder / "damaged.parquet").write_text("no Parquet")
    # A measurement of an earlier version has the name of its own time.
    measured = row_losses.path_of(settings, data, data.detected, of_base)
    (folder / "000000000000.parquet").write_bytes(measured.read_bytes())
    assert {source.key for source in row_losses.available(settings, data, data.detected)} == {of_base.key, of_run.key}
    assert row_losses.measured_speed(settings, data, data.detected, of_base.base) == 50
    assert row_losses.measured_speed(settings, data, data.detected, "other") is None
    with roles.acting(roles.Caller(roles.Role.VISITOR, "a visitor")):
        assert row_losses.available(settings, data, data.detected) == [of_base]


@pytest.mark.parametrize("base", ["tiny", "[]", "3", "{}", "null"])
def test_source_of_a_foreign_recipe_is_described(base):
    assert LossSource(base=base, max_length=8).describe().startswith(base)
