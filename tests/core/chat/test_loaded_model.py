"""Which adapters stay loaded."""

from types import SimpleNamespace

import pytest

from core.chat import loaded_model
from core.chat.loaded_model import LoadedModel


class Adapters(dict):
    """Stands in for `RowAdapters`: no weights are needed to count."""

    def keep_only(self, keys):
        for key in set(self) - set(keys):
            del self[key]


def loaded(*keys):
    """Return a model with these adapters, of which the most are 4, and the list of the keys that it loads."""
    model, adapters = LoadedModel.__new__(LoadedModel), Adapters.fromkeys(keys)
    model.lanes = SimpleNamespace(adapters=adapters, add_adapter=lambda key, folder: adapters.update({key: folder}))
    return model, adapters


@pytest.mark.parametrize(("before", "in_use", "wanted", "after"), [
    ("", "", "ab", "ab"),
    ("abc", "", "d", "abcd"),
    ("abcd", "", "e", "bcde"),
    ("abcd", "a", "e", "acde"),
    ("abcd", "ab", "ef", "abef"),
    # One that is loaded and asked for counts, too.
    ("abcd", "", "aef", "daef"),
    ("abcd", "abc", "e", "abce"),
    # None is unused, so more than the maximum are loaded.
    ("abcd", "abcd", "ef", "abcdef"),
    ("abcdef", "", "g", "defg"),
    ("abcd", "", "a", "abcd"),
])  # fmt: skip
def test_load_adapters_drops_the_oldest_unused_ones_beyond_the_most(monkeypatch, before, in_use, wanted, after):
    monkeypatch.setattr(loaded_model, "_MAX_LOADED_ADAPTERS", 4)
    model, adapters = loaded(*before)
    reports = []
    model.load_adapters(dict.fromkeys(wanted), in_use, lambda: reports.append("Loading"))
    assert sorted(adapters) == sorted(after)
    assert len(reports) == len(set(wanted) - set(before))
