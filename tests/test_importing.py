import gc

import pytest

from core.importing import uncollected


@pytest.fixture
def thawed():
    """The process of the tests goes on as it was."""
    yield
    gc.unfreeze()


def test_nothing_is_collected_within_and_what_was_made_is_left_alone_afterwards(thawed):
    with uncollected():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)


def test_an_import_that_fails_leaves_the_collector_on(thawed):
    with pytest.raises(ModuleNotFoundError), uncollected():
        import no_such_library  # noqa: F401
    assert gc.isenabled()
