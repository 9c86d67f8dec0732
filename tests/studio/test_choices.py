"""Choices of lists that several tabs show."""

from studio.choices import dataset_choices, subset_choices
from tests.helpers.datasets import copy_bundled, dialog, open_dialogs


def test_choices_label_datasets_and_subsets_with_their_rows(settings, tmp_path):
    bundled = copy_bundled(settings)
    data = open_dialogs(settings, tmp_path, [dialog("a", "b"), dialog("c", "d")])
    label, value = dataset_choices(settings)[-1]
    assert (label, value) == ("rows.jsonl (2 rows)", data.id)
    assert subset_choices(settings) == [
        (f"{bundled.name} ({bundled.rows:,} + {bundled.held_out:,} held out)", bundled.name)
    ]
