"""Events of a control that moves: only the last one counts."""

from concurrent.futures import ThreadPoolExecutor

from studio.debounce import Debounce


def test_rests_only_for_the_last_of_several_events():
    debounce = Debounce(0.05)
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(debounce.rests, control) for control in ("a", "a", "b", "a")]
    assert sum(one.result() for one in found) == 2, "one per control"
    assert found[2].result()
    assert debounce.rests("a")
    assert debounce._newest == {}
