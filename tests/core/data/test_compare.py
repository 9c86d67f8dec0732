"""Two subsets compared by the conversations that they share."""

from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.data import subset
from core.data.compare import compare
from core.data.recipe import Recipe
from tests.helpers.datasets import dialog, open_dialogs


@limits(max_examples=10)
@given(left=st.sets(st.integers(0, 19), min_size=1), right=st.sets(st.integers(0, 19), min_size=1))
def test_compare_any_two_subsets_counts_common_conversations(tmp_path_factory, left, right):
    from core.settings import Settings

    folder = tmp_path_factory.mktemp("compare")
    home = Settings(home=folder / "home").prepare()
    data = open_dialogs(home, folder, [dialog(f"q{i}", "a" * (i + 1)) for i in range(20)])
    for name, picked in (("l", left), ("r", right)):
        subset.create(home, name, Recipe(dataset=data.id, method="picked", picked=sorted(picked), held_out_share=0))
    found = compare(home, "l", "r")
    assert (found.left_size, found.right_size, found.common, found.crossed) == (
        len(left),
        len(right),
        len(left & right),
        0,
    )
    assert (sum(found.left), sum(found.right)) == (len(left), len(right))


def test_compare_row_trained_in_one_and_held_out_in_other_counts_as_crossed(settings, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog(f"q{i}", f"a{i}") for i in range(20)])
    subset.create(settings, "all", Recipe(dataset=data.id, held_out_share=0))
    subset.create(settings, "split", Recipe(dataset=data.id, held_out_share=0.5))
    found = compare(settings, "all", "split")
    assert (found.common, found.crossed) == (20, 10)
