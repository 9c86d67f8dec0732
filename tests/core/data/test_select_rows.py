"""Rows selected by a recipe: methods, duplicates, held-out rows and limits."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.select_rows import open_rows, select
from core.data.view import Filter, View
from core.errors import StudioError
from core.models import embedded
from tests.helpers.datasets import dialog, open_dataset, open_dialogs

KINDS = ["a"] * 60 + ["b"] * 30 + ["c"] * 10


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Open 100 usable rows of three kinds, of which every tenth repeats the one before it, and 3 unusable ones."""
    from core.settings import Settings

    folder = tmp_path_factory.mktemp("choose")
    home = Settings(home=folder / "home").prepare()
    conversations = [
        dialog(f"question {i - (i % 10 == 9)}", f"answer {i - (i % 10 == 9)}" + "!" * (i % 7)) for i in range(100)
    ]
    for i in range(9, 100, 10):
        conversations[i] = conversations[i - 1]
    conversations += [[{"role": "user", "content": "?"}]] * 3
    data = open_dialogs(home, folder, conversations, kind=[*KINDS, "x", "x", "x"])
    return Rows(home, data.id)


def select_rows(rows, /, **recipe):
    return select(rows, Recipe(dataset=rows.about.id, **recipe))


def split(found, name: str) -> list[int]:
    return [row for row, where in found.split_of.items() if where == name]


@limits(max_examples=20)
@given(
    wanted=st.integers(0, 90),
    method=st.sampled_from(["first", "random", "stratified", "shortest", "longest"]),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 0.5),
    duplicates=st.sampled_from(["keep", "exact"]),
)
def test_select_any_recipe_is_reproducible_with_requested_size(rows, wanted, method, seed, share, duplicates):
    recipe = {"rows": wanted, "method": method, "seed": seed, "held_out_share": share, "duplicates": duplicates}
    recipe["stratify_by"] = "kind" if method == "stratified" else ""
    found = select_rows(rows, **recipe)
    assert found.split_of == select_rows(rows, **recipe).split_of
    train, held = set(split(found, "train")), set(split(found, "held-out"))
    usable = 90 if duplicates == "exact" else 100
    assert not train & held
    assert train | held <= set(range(100))
    assert len(train) <= (wanted or usable)
    if (wanted or usable) + round((wanted or usable) * share) <= usable:
        assert len(train) == (wanted or usable)
    train_questions = {f"question {row - (row % 10 == 9)}" for row in train}
    assert not train_questions & {f"question {row - (row % 10 == 9)}" for row in held}, "nothing held out is trained on"
    assert found.left_out["no answer"] == 3


def test_select_by_order_or_length_takes_the_right_rows(rows):
    assert split(select_rows(rows, rows=5, method="first", held_out_share=0), "train") == [0, 1, 2, 3, 4]
    sizes = dict(rows.query("row, characters", set(), after="WHERE problem IS NULL").fetchall())
    for method, pick in (("shortest", min), ("longest", max)):
        found = split(select_rows(rows, rows=10, method=method, held_out_share=0), "train")
        rest = [size for row, size in sizes.items() if row not in found]
        assert pick([*(sizes[row] for row in found), pick(rest)]) == pick(sizes.values())
        assert all((sizes[row] <= min(rest)) if method == "shortest" else (sizes[row] >= max(rest)) for row in found)


@pytest.mark.parametrize("wanted", [1, 10, 33, 90])
def test_select_stratified_keeps_proportions(rows, wanted):
    found = select_rows(rows, rows=wanted, method="stratified", stratify_by="kind", held_out_share=0)
    counts = Counter(KINDS[row] for row in split(found, "train"))
    for kind, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(counts[kind] - wanted * share) < 1


def test_select_uses_filters_sql_and_picked_rows(rows):
    view = View(filters=[Filter(column="kind", values=["b"])])
    assert {KINDS[row] for row in select_rows(rows, view=view, held_out_share=0).split_of} == {"b"}
    by_sql = select_rows(rows, sql="SELECT row FROM rows WHERE kind = 'c'", held_out_share=0)
    assert set(by_sql.split_of) == set(range(90, 100))
    picked = select_rows(rows, method="picked", picked=[7, 3, 100], held_out_share=0)
    assert set(picked.split_of) == {3, 7}
    with pytest.raises(StudioError, match=r"There is no row 500. Expected 0 to 102"):
        select_rows(rows, method="picked", picked=[500])


def test_select_removes_and_counts_exact_duplicates(rows):
    found = select_rows(rows, duplicates="exact", held_out_share=0)
    assert not any(row % 10 == 9 for row in found.split_of)
    assert found.left_out["exact duplicate"] == 10


def test_select_keeps_first_duplicate_that_passes_the_filter(settings, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog("a", "b")] * 3, n=[1, 2, 3])
    view = View(filters=[Filter(column="n", low=3)])
    recipe = Recipe(dataset=data.id, view=view, duplicates="exact", held_out_share=0)
    assert select(Rows(settings, data.id), recipe).split_of == {2: "train"}


def test_select_removes_near_duplicates(settings, tmp_path):
    text = " ".join(f"word{i}" for i in range(100))
    data = open_dialogs(
        settings, tmp_path, [dialog("?", text), dialog("?", text + " end"), dialog("?", "another answer")]
    )
    recipe = Recipe(dataset=data.id, duplicates="near", held_out_share=0)
    found = select(open_rows(settings, recipe), recipe)
    assert set(found.split_of) == {0, 2}
    assert found.left_out["near duplicate"] == 1


def test_select_with_own_held_out_split_removes_leaks(settings, tmp_path):
    from datasets import Dataset, DatasetDict

    from core.data import sources

    ask = [{"prompt": f"Who lit lamp {i}?", "completion": f"a{i}"} for i in range(8)]
    leaking = [{"prompt": " who LIT lamp 1? ", "completion": "another"}]
    DatasetDict(train=Dataset.from_list(ask), test=Dataset.from_list(leaking)).save_to_disk(str(tmp_path / "s"))
    data = sources.open_folder(settings, tmp_path / "s")
    found = select_rows(Rows(settings, data.id))
    assert (len(split(found, "train")), len(split(found, "held-out"))) == (7, 1)
    assert found.left_out == {"same question as a held-out row": 1}
    assert len(split(select_rows(Rows(settings, data.id), leaks="keep"), "train")) == 8


def test_select_of_too_many_rows_is_rejected_with_available_number(rows):
    with pytest.raises(StudioError, match=r"The recipe asks for 101 rows.*100 usable rows.*Ask for 1 to 100"):
        select_rows(rows, rows=101)
    with pytest.raises(StudioError, match="no usable rows to train on that contain “nowhere”"):
        select_rows(rows, view=View(search="nowhere"))
    with pytest.raises(StudioError, match="There is no column 'nope'"):
        select_rows(rows, method="stratified", stratify_by="nope")


def test_select_stratified_by_many_values_is_rejected(settings, tmp_path):
    data = open_dataset(settings, tmp_path, [{"messages": dialog("a", f"b{i}"), "id": f"i{i}"} for i in range(250)])
    with pytest.raises(StudioError, match="250 different values"):
        select_rows(Rows(settings, data.id), method="stratified", stratify_by="id")


def test_open_rows_of_recipe_with_model_counts_tokens(studio, tmp_path):
    data = open_dialogs(
        studio, tmp_path, [dialog("?", "x" * 60), dialog("?", "a b c d e f g h i j k l m n o p q r s t")]
    )
    by = {"rows": 1, "method": "longest", "held_out_share": 0}
    in_characters = Recipe(dataset=data.id, **by)
    in_tokens = Recipe(dataset=data.id, model=embedded.NAME, **by)
    assert set(select(open_rows(studio, in_characters), in_characters).split_of) == {0}
    assert set(select(open_rows(studio, in_tokens), in_tokens).split_of) == {1}
