"""Files of visitors: those of the visitors with the most are deleted first; files that vanish raise no error."""

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access import roles
from core.access.fair_share import surplus_files
from core.access.roles import Caller, Role, acting
from core.system.files import modified_ns


def owner_of(path) -> str:
    return path.name.partition("-")[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 40 files; file N was changed at second N."""
    made = tmp_path_factory.mktemp("shares")
    for number in range(40):
        for owner in ("", "a", "b", "c"):
            path = made / f"{number}-{owner}"
            path.touch()
            os.utime(path, (number, number))
    return made


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=40), st.integers(1, 12), st.integers(1, 40))
def test_surplus_takes_the_oldest_of_those_with_most(folder, owners, each, total):
    paths = [folder / f"{number}-{owner}" for number, owner in enumerate(owners)]
    gone = surplus_files(paths, each, total)
    kept = [path for path in paths if path not in gone]
    before, after = Counter(map(owner_of, paths)), Counter(map(owner_of, kept))
    assert len(kept) <= total
    for owner in ("a", "b", "c"):
        assert after[owner] <= each
        assert kept_are_newest(paths, kept, owner), "the newest of an owner are kept"
        if after[owner] < min(before[owner], each):
            # Files without an owner count as one each.
            assert max((after[other] for other in "abc"), default=0) <= after[owner] + 1
    assert len(kept) == min(total, sum(min(before[owner], each) for owner in "abc") + before[""])


def kept_are_newest(paths, kept, owner) -> bool:
    own, left = ([path for path in these if owner_of(path) == owner] for these in (paths, kept))
    return left == own[len(own) - len(left) :]


def test_surplus_one_owner_never_takes_the_place_of_another(folder):
    """However many files one visitor writes, those of the others stay, also when they are older."""
    paths = [folder / f"{number}-{owner}" for number, owner in enumerate("bc" + "a" * 30)]
    assert {owner_of(path) for path in surplus_files(paths, 30, 5)} == {"a"}


def test_surplus_survives_files_that_vanish(tmp_path):
    gone = [tmp_path / f"{number}-a" for number in range(3)]
    assert modified_ns(gone[0]) == 0
    assert len(surplus_files(gone, 1, 10)) == 2


def test_exports_of_one_visitor_leave_those_of_others(settings):
    with acting(Caller(Role.VISITOR, "browser other")):
        other = roles.exports(settings)
    os.utime(other, (1, 1))
    with acting(Caller(Role.VISITOR, "browser eager")):
        made = [roles.exports(settings) for _ in range(roles._MAX_EXPORTS_OF_A_VISITOR + 5)]
    assert other.is_dir()
    assert sum(path.is_dir() for path in made) == roles._MAX_EXPORTS_OF_A_VISITOR
    assert made[-1].is_dir()
