import pytest

from core.errors import StudioError
from studio.data.page_state import Lens
from studio.data.sql import EXAMPLE, Asking, sql_of


@pytest.fixture
def do(settings):
    return Asking(settings)


def test_the_example_works_and_answers_are_a_table(do, state):
    shown, words = do.ask(state, EXAMPLE)
    assert shown["value"]["headers"] == ["language", "rows", "mean_length"]
    assert sum(row[1] for row in shown["value"]["data"]) == 60
    assert words.endswith("rows") or words == "1 row"


def test_every_column_named_can_be_asked_for(do, state):
    names = do.columns(state).split("`")[1::2]
    shown, _ = do.ask(state, "SELECT " + ", ".join(f'"{name}"' for name in names) + " FROM rows LIMIT 1")
    assert shown["value"]["headers"] == names
    assert do.columns(Lens().model_dump()) == ""


def test_nothing_asked_is_said():
    with pytest.raises(StudioError, match="No SQL was given"):
        sql_of("  ")
    assert sql_of(" SELECT 1 ") == "SELECT 1"
