"""The rows of a step: they are listed, shown, and left out of the next subset."""

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.data.select_rows import Selection
from core.errors import StudioError
from core.runs.config import QLoRAConfig
from studio.train.step_rows import StepRows
from tests.helpers.run_events import EVENTS


@pytest.fixture
def rows(runs):
    return StepRows(runs)


def test_step_rows_are_listed_shown_and_excluded(rows, a_run, settings, toasts):
    run = a_run(EVENTS)
    shown = rows.list_rows(run.id, 2)
    assert shown["row"]["choices"] == [("row 5", 5)]
    assert "trained on 2 rows" in shown["step"]
    assert "This run has no step 77" in rows.list_rows(run.id, 77)["step"]
    row = next(number for _, number, _ in subset.stream(settings, "keeper"))
    assert "qs-turn" in rows.render_row(run.id, row, False)["row_view"]
    assert "no longer in the subset" in rows.render_row(run.id, 10**6, False)["row_view"]
    name = rows.exclude_row(run.id, row)["new_subset"]
    assert name in toasts[0]
    known = {number for _, number, _ in subset.stream(settings, "keeper")}
    assert {number for _, number, _ in subset.stream(settings, name)} == known - {row}
    with pytest.raises(StudioError, match="No row is selected"):
        rows.exclude_row(run.id, None)


def test_excluded_rows_one_by_one_always_give_a_new_subset(rows, a_run, settings, monkeypatch):
    """Rows with many digits: a name lists only as many as fit, and two selections never share one."""
    first = subset.create(
        settings, "keeper-without-end", Recipe(dataset=subset.find(settings, "keeper").recipe.dataset)
    )
    monkeypatch.setattr("core.data.subset.select", lambda opened, recipe: Selection({0: "train"}))
    config, names = QLoRAConfig(subset=first.name), []
    for row in [*range(123_456, 123_476), 123_456]:
        run = a_run(config=config)
        names.append(rows.exclude_row(run.id, row)["new_subset"])
        config = config.model_copy(update={"subset": names[-1]})
    assert names[:2] == ["keeper-without-end-without-123456", "keeper-without-end-without-123456-123457"]
    assert names[19].startswith("keeper-without-end-without-20-rows")
    assert len(set(names)) == 20
    assert names[20] == names[19], "the same selection"
    other = a_run(config=QLoRAConfig(subset=names[17]))
    assert rows.exclude_row(other.id, 999_999)["new_subset"] not in names
    assert subset.find(settings, names[19]).recipe.excluded == list(range(123_456, 123_476))
    assert max(map(len, names)) <= 60
