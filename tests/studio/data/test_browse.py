"""The rows of the Data tab: pages, search, filters, ticks and columns."""

import pytest
from pydantic import ValidationError

from core.data import lengths, near_duplicates
from core.data.view import MAX_FILTER_VALUES, MAX_FILTERS, Filter
from core.errors import StudioError
from studio.data import browse
from studio.data.browse import ROW_KINDS, Browse
from studio.data.page_state import MAX_TICKED, PageState, parse_state
from tests.helpers.table_html import ATTRIBUTES, TAGS, Lenient


@pytest.fixture
def do(settings):
    return Browse(settings)


def numbers(table: str) -> list[int]:
    """Return the numbers of a table's rows, in order."""
    return [int(a["data-value"]) for tag, a in Lenient(table).tags if tag == "tr" and "data-value" in a]


def pages(do, state, page=1, size=25, ticked=(), opened=None):
    return list(do.show_page(state, list(ticked), opened, page, size))


def table(do, state, **options):
    return pages(do, state, **options)[-1]["table"]


def test_show_page_yields_rows_first_and_histograms_once_known(do, state):
    first, last = pages(do, state)
    for shown in (first, last):
        assert (shown["page"], shown["position"]) == (1, "rows 1 to 25 of 60, page 1 of 3")
        assert numbers(shown["table"]) == list(range(25))
    assert "dt-bar" not in first["table"]
    assert "dt-bar" in last["table"]
    assert len(pages(do, state)) == 1, "cached histograms come at once"


def test_show_page_beyond_the_last_shows_the_last(do, state):
    assert numbers(table(do, state, page=3)) == list(range(50, 60))
    assert pages(do, state, page=99)[-1]["page"] == 3
    (nothing,) = pages(do, PageState().model_dump())
    assert (nothing["table"], nothing["page"], nothing["position"]) == ("", 1, "no rows")
    assert "No dataset is open" in nothing["summary"]


def test_table_with_hostile_rows_shows_them_as_text(do, state):
    shown = Lenient(table(do, state))
    assert {tag for tag, _ in shown.tags} <= TAGS
    assert {name for _, attributes in shown.tags for name in attributes} <= ATTRIBUTES
    assert "<script>alert(1)</script>" in shown.text


def test_search_sort_and_filters_change_the_rows(do, state):
    assert numbers(table(do, do.search(state, "QUESTION 5")["state"])) == [50, 51, 52, 53, 54, 55, 56, 57, 58, 59]
    once = do.sort(state, "score")["state"]
    twice = do.sort(once, "score")["state"]
    assert numbers(table(do, once))[0] == 0
    assert numbers(table(do, twice))[0] == 59
    assert do.sort(twice, "score")["state"] == state
    bar = Filter(column="kind", values=["b"]).model_dump()
    picked = do.toggle_filter(state, bar)["state"]
    assert all(number % 2 for number in numbers(table(do, picked)))
    assert do.toggle_filter(picked, bar)["state"] == do.remove_filter(picked, bar)["state"] == state
    both = do.search(picked, "zzz")["state"]
    for shown, why, clear in (
        (both, "No row that passes the filters contains “zzz”.", "Clear search and filters"),
        (do.search(state, "zzz")["state"], "No row contains “zzz”.", "Clear search"),
    ):
        table_html = pages(do, shown)[-1]["table"]
        assert (
            f'{why} <button class="dt-chip" data-event="drop_filter" data-value="null">{clear}</button>' in table_html
        )
    cleared = do.remove_filter(both, None)
    assert (cleared["state"], cleared["search"]) == (state, "")


def test_search_counts_and_highlights_what_it_found(do, state):
    found = pages(do, do.search(state, "QUESTION 5")["state"])[-1]
    assert (found["matches"], pages(do, state)[-1]["matches"]) == ("10 of 60", "60 rows")
    assert found["table"].count("<mark>question 5</mark>") == 10
    assert "60</b> rows" in found["summary"], "the title comes with the rows"
    hostile = pages(do, do.search(state, "<img")["state"])[-1]["table"]
    assert "<mark>&lt;img</mark> src=x" in hostile


def steps(do, state, opened, page, step, size=25):
    return list(do.step_row(state, [], opened, page, size, step))


def test_step_row_opens_the_next_row_of_the_view_and_turns_the_page(do, state):
    assert steps(do, state, 3, 1, 1) == [{"opened": 4}]
    assert steps(do, state, 0, 1, -1) == [{"opened": 0}], "there is none before the first"
    first, *rest = steps(do, state, 24, 1, 1)
    assert first == {"opened": 25}
    assert {update["page"] for update in rest} == {2}
    assert 'class="open"' in rest[-1]["table"]
    assert steps(do, state, 25, 2, -1)[-1]["page"] == 1
    assert steps(do, state, None, 2, 1) == [{"opened": 25}], "without an open row, the first of the page"
    searched = do.search(state, "question 5")["state"]
    assert [steps(do, searched, row, 1, 1)[0]["opened"] for row in (52, 59, 3)] == [53, 59, 50]
    assert steps(do, do.search(state, "no such text")["state"], 3, 1, 1) == []


def test_show_first_page_of_a_link_is_the_page_of_its_row(do, state):
    linked = parse_state(state).replace(at_row=57)
    assert next(do.show_first_page(linked, [], 57, 1, 25))["page"] == 3
    assert next(do.show_first_page(do.search(linked, "question 5")["state"], [], 57, 3, 25))["page"] == 1


@pytest.mark.parametrize(
    ("kind", "rows"), [("All rows", 60), ("Usable", 59), ("Cannot be used", 1), ("Exact duplicates", 1)]
)
def test_show_kind_filters_the_rows(do, settings, state, kind, rows):
    assert kind in ROW_KINDS
    page = parse_state(do.show_kind(state, kind)["state"])
    assert page.open_rows(settings).count(page.view) == rows


def test_show_kind_needs_the_counts_that_it_reads(do, studio, state, data):
    for kind in ("Near duplicates", "Would be truncated"):
        with pytest.raises(StudioError, match="under Token statistics"):
            do.show_kind(state, kind)
    lengths.count_tokens(studio, data, data.detected, parse_state(state).tokens)
    near_duplicates.find(studio, data, data.detected)
    page = parse_state(do.show_kind(state | {"max_length": 60}, "Would be truncated")["state"])
    assert 0 < page.open_rows(studio).count(page.view) < 59
    page = parse_state(do.show_kind(state, "Near duplicates")["state"])
    assert 5 in page.open_rows(studio).row_numbers(page.view)


def test_tick_adds_and_removes_a_row(do, state):
    assert do.tick([4], 2) == {"ticked": [4, 2]}
    assert do.tick([4, 2], 4) == {"ticked": [2]}
    shown = Lenient(table(do, state, ticked=[2], opened=3))
    assert [a["data-value"] for tag, a in shown.tags if tag == "input" and "checked" in a] == ["2"]
    assert [a["data-value"] for tag, a in shown.tags if tag == "tr" and a.get("class") == "open"] == ["3"]


def test_existing_row_refuses_numbers_beyond_the_dataset(do, state):
    page = parse_state(state)
    assert page.existing_row(do.settings, 59) == 59
    with pytest.raises(StudioError, match=r"There is no row 60 in .*, which has 60"):
        page.existing_row(do.settings, 60)


def test_view_of_a_program_is_bounded_before_it_is_kept(do, state):
    full = list(range(MAX_TICKED))
    with pytest.raises(StudioError, match="at most 2,000 can be"):
        do.tick(full, MAX_TICKED)
    assert len(do.tick(full, 3)["ticked"]) == MAX_TICKED - 1
    many = {"column": "prompt", "values": ["x"] * (MAX_FILTER_VALUES + 1)}
    for change in (lambda: do.toggle_filter(state, many), lambda: do.toggle_filter(state, {"column": "x" * 3000}),
                   lambda: do.search(state, "x" * 30_000), lambda: do.choose_columns(state, ["x"] * 1000)):  # fmt: skip
        with pytest.raises(ValidationError):
            change()
    for number in range(MAX_FILTERS):
        state = do.toggle_filter(state, {"column": f"c{number}", "low": 1})["state"]
    with pytest.raises(ValidationError):
        do.toggle_filter(state, {"column": "one more", "low": 1})


def test_choose_columns_shows_those_that_exist(do, state):
    chosen = do.choose_columns(state, ["row", "score", "nope"])["state"]
    shown = Lenient(table(do, chosen))
    assert [a["data-value"] for _, a in shown.tags if a.get("data-event") == "sort_by"] == ["row", "score"]
    assert ("kind", "kind") in do.column_choices(state)["table_columns"]["choices"]
    assert do.column_choices(PageState().model_dump()) == {}


def test_choose_columns_repeated_names_count_once(do, state):
    assert do.choose_columns(state, ["row", "score"] * 50)["state"]["columns"] == ["row", "score"]
    with pytest.raises(ValidationError):
        do.choose_columns(state, [f"c{number}" for number in range(101)])


def test_show_page_with_slow_histograms_yields_in_between_so_that_it_can_be_ended(do, state, monkeypatch):
    made = []
    monkeypatch.setattr(browse, "_SECONDS_BETWEEN_YIELDS", -1)
    original = browse.histogram
    monkeypatch.setattr(browse, "histogram", lambda *args: made.append(args[1]) or original(*args))
    shown = do.show_page(do.choose_columns(state, ["row", "score", "kind", "prompt"])["state"], [], None, 1, 25)
    next(shown)
    next(shown)
    next(shown)
    shown.close()
    assert made == ["score"]


def test_table_marks_only_the_row_that_cannot_be_used(do, state):
    assert table(do, state).count("cannot be used") == 1
