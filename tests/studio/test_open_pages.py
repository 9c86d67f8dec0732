"""Which page is dropped where there are too many."""

from types import SimpleNamespace

import pytest

from studio.open_pages import NETWORK_KEY, OpenPages

CAPACITY = 12


def from_network(name: str) -> SimpleNamespace:
    """Return a request of a network."""
    return SimpleNamespace(scope={NETWORK_KEY: name})


def keep(pages: OpenPages, opened: list[tuple[str, str, str]]) -> list[str]:
    """Open pages as (session, caller, network) one after another, and return those that are kept of `CAPACITY`."""
    callers, kept = {}, []
    for session, caller, network in opened:
        callers[session] = caller
        pages.note_network(session, from_network(network))
        kept.append(session)
        if len(kept) > CAPACITY:
            kept.remove(pages.choose_page_to_drop(kept[:-1], callers.__getitem__))
    return kept


FLOODS = {
    "a cookie for each page": lambda i: (f"flood{i}", f"cookie{i}", "net"),
    "one cookie": lambda i: (f"flood{i}", "cookie", "net"),
    "no cookie": lambda i: (f"flood{i}", "", "net"),
    "two networks": lambda i: (f"flood{i}", f"cookie{i}", f"net{i % 2}"),
}
OTHERS = [("one", "a", "home"), ("two", "b", "work"), ("two more", "b", "work"), ("bare", "", "café")]


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_flood_of_pages_drops_its_own_and_no_one_elses(flood):
    kept = keep(OpenPages(), [*OTHERS, *map(flood, range(200))])
    assert kept[:4] == [session for session, *_ in OTHERS]
    assert kept[-1] == "flood199"


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("network", ["net", ""])
def test_flood_without_browsers_drops_no_open_page_of_its_own_network(flood, network):
    """Also where a proxy hides all networks."""
    pages = OpenPages()
    with pages.keep_alive("/gradio_api/heartbeat/one"), pages.keep_alive("/gradio_api/heartbeat/two"):
        with pages.keep_alive("/gradio_api/heartbeat/two"):
            pass
        opened = [("one", "a", network), ("two", "b", network), ("two more", "b", network)]
        opened += [(*flood(i)[:2], network) for i in range(200)]
        assert keep(pages, opened)[:2] == ["one", "two"]
    assert not pages._heartbeats


def test_owners_pages_are_never_dropped():
    pages = OpenPages()
    pages.note_owner("owner")
    assert pages.choose_page_to_drop(["owner", "visitor"], str) == "visitor"
    assert pages.choose_page_to_drop(["owner"], str) is None
    for i in range(30_000):
        pages.note_network(f"flood{i}", from_network("net"))
    assert pages.is_owners("owner")
    assert len(pages._networks) <= 20_000
