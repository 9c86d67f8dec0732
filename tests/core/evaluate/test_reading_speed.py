"""Time left for texts that a model reads."""

from types import SimpleNamespace

from core.evaluate import reading_speed
from core.evaluate.reading_speed import ReadingSpeed


def test_time_left_goes_by_tokens_and_expects_alike_windows(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(reading_speed, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    speed = ReadingSpeed(40, _began=100.0)
    assert speed.describe_left() == ""
    # The longest texts of the first half come first.
    speed.add_window(20, 3000)
    clock[0] = 110.0
    speed.add_read(1000)
    assert speed.describe_left() == ", 50 s left"
    clock[0] = 130.0
    speed.add_read(2000)
    speed.add_window(20, 1000)
    assert speed.describe_left() == ", 10 s left"
    speed.add_read(1000)
    assert speed.describe_left() == ""


def test_time_left_of_windows_without_anything_to_read_is_not_known():
    speed = ReadingSpeed(40)
    speed.add_window(20, 0)
    assert speed.describe_left() == ""
