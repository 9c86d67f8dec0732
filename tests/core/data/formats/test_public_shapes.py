"""The columns of public datasets are parsed as expected, or the page asks."""

import importlib.util
from pathlib import Path

import pytest

from core.data import formats, parse_rows, subset
from core.data.formats import Reading, UnusableRow
from core.data.recipe import Recipe
from core.errors import StudioError
from tests.helpers.datasets import open_dataset
from tests.helpers.public_shapes import SHAPES
from tests.helpers.shapes import Shape

PROJECT = Path(__file__).resolve().parents[4]


def turns_of(messages) -> list[tuple[str, str]]:
    return [(m["role"] + ", no loss" * (m.get("loss") is False), m["content"]) for m in messages]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_public_shape_is_parsed_as_expected_or_undecided(shape: Shape):
    found = formats.detect(shape.rows)
    assert found.reading.format == shape.form, found.evidence
    if shape.form == "undecided":
        assert all(part in found.evidence for part in shape.asks), found.evidence
        return
    if isinstance(shape.first, str):
        with pytest.raises(UnusableRow, match=shape.first):
            found.reading.parse(shape.rows[0])
        return
    parsed = found.reading.read(shape.rows[0])
    assert turns_of(parsed.messages) == shape.first
    assert set(parsed.unread) == set(shape.unread)
    assert all(any(part in note for note in parsed.notes) for part in shape.notes), parsed.notes


def test_undecided_dataset_has_no_usable_row_until_reading_is_chosen(settings, tmp_path):
    shape = next(shape for shape in SHAPES if shape.name == "nyu-mll/glue, mnli")
    data = open_dataset(settings, tmp_path, shape.rows)
    assert (data.detected.format, parse_rows.parse_dataset(settings, data, data.detected).usable) == ("undecided", 0)
    assert data.candidates
    with pytest.raises(StudioError, match="cannot be used yet: no format is certain"):
        subset.create(settings, "all", Recipe(dataset=data.id))
    reading = data.candidates[0].model_copy(update={"extra": {"hypothesis": "context"}})
    assert parse_rows.parse_dataset(settings, data, reading).usable == len(shape.rows)


def test_detect_two_text_columns_offers_question_and_answer():
    shape = next(shape for shape in SHAPES if shape.name == "Two columns with names that are not known")
    pair = Reading(format="prompt_completion", columns={"prompt": "Kysymys", "completion": "Vastaus"})
    assert pair in formats.detect(shape.rows).candidates


def test_data_formats_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_formats", PROJECT / "docs" / "make_formats.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python docs/make_formats.py"
