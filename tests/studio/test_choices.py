"""Choices of lists that several tabs show."""

from core.data import subset_rows
from studio.choices import SUBSET_PREFIX, dataset_choices, subset_choices
from tests.helpers.datasets import copy_bundled, dialog, open_dialogs


def test_choices_label_datasets_and_subsets_with_their_rows(settings, tmp_path):
    bundled = copy_bundled(settings)
    data = open_dialogs(settings, tmp_path, [dialog("a", "b"), dialog("c", "d")])
    label, value = dataset_choices(settings)[-1]
    assert (label, value) == ("rows.jsonl (2 rows)", data.id)
    assert dataset_choices(settings)[0] == (
        f"subset {bundled.name} ({bundled.rows + bundled.held_out:,} rows)",
        f"subset:{bundled.name}",
    )
    shown = subset_rows.open_subset(settings, bundled.name)
    assert (f"subset {bundled.name} (340 rows)", shown.id) in dataset_choices(settings)
    assert all(not value.startswith(SUBSET_PREFIX) for _, value in dataset_choices(settings))
    assert subset_choices(settings) == [
        (f"{bundled.name} ({bundled.rows:,} + {bundled.held_out:,} held out)", bundled.name)
    ]
