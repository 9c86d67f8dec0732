"""The handler decorator: errors become messages, and texts stay text."""

import html
import inspect

import gradio as gr
import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from studio.handlers import escape_toast, event_handler, info, reading_seconds, warn


def studio_error():
    raise StudioError("There is no run 'x'. List them.")


def validation_error():
    QLoRAConfig(max_length=0, lora_rank=0)


def defect():
    raise RuntimeError("/secret/path in Traceback")


def own_error():
    raise gr.Error("as it is", title="Mine")


def call_once(raising):
    return event_handler(raising)


def streaming(raising):
    def handler():
        yield "first"
        raising()

    def run():
        stream = event_handler(handler)()
        assert next(stream) == "first"
        next(stream)

    return run


KINDS = pytest.mark.parametrize("kind", [call_once, streaming])


@KINDS
def test_studio_error_is_shown_as_its_text(kind, capsys):
    with pytest.raises(gr.Error) as raised:
        kind(studio_error)()
    assert raised.value.message == "There is no run 'x'. List them."
    assert not raised.value.print_exception
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("value", ["x" * 240_000, "é" * 5_000, "<" * 240_000])
def test_error_that_repeats_a_long_value_is_shortened(value):
    def handler(name):
        raise StudioError(f"There is no run {name!r}. List them.")

    with pytest.raises(gr.Error) as raised:
        event_handler(handler)(value)
    message = raised.value.message
    assert len(message) < 25_000, "an escaped character takes up to five"
    assert message.startswith("There is no run '")
    assert "characters left out" in message
    assert message.endswith("'. List them.")


@KINDS
def test_validation_error_shows_every_problem(kind, capsys):
    with pytest.raises(gr.Error) as raised:
        kind(validation_error)()
    first, second = sorted(raised.value.message.split("<br>"))
    assert "rank" in first.lower()
    assert "given: 0" in first
    assert "length" in second.lower()
    assert "pydantic" not in raised.value.message
    assert "Traceback" not in capsys.readouterr().err


@KINDS
def test_defect_is_named_on_the_page_and_logged(kind, capsys):
    with pytest.raises(gr.Error) as raised:
        kind(defect)()
    assert "in the studio itself: RuntimeError" in raised.value.message
    assert "secret" not in raised.value.message
    assert "Traceback" not in raised.value.message
    assert "/secret/path" in capsys.readouterr().err


@KINDS
def test_gradio_error_is_unchanged(kind):
    with pytest.raises(gr.Error) as raised:
        kind(own_error)()
    assert (raised.value.message, raised.value.title) == ("as it is", "Mine")


@pytest.mark.parametrize(
    ("values", "words"),
    [((["a"], "3"), "count does not fit (given: '3'). Expected int"), (([{"a": 1}], 3), "names does not fit"),
     ((3, 3), "names does not fit"), ((["a"],), "does not accept these arguments")],
)  # fmt: skip
def test_value_of_another_type_is_named(values, words, capsys):
    def handler(names: list[str], count: int, request: gr.Request | None = None) -> str:
        return "".join(names)[0] + names[count - 1 :][0].upper() * (count + 1)

    with pytest.raises(gr.Error) as raised:
        event_handler(handler)(*values)
    assert words in html.unescape(raised.value.message)
    assert "Traceback" not in capsys.readouterr().err


def test_defect_with_values_of_the_right_types_stays_a_defect(capsys):
    def handler(names: list[str]) -> str:
        return names[9]

    with pytest.raises(gr.Error, match="in the studio itself: IndexError"):
        event_handler(handler)(["a"])
    assert "IndexError" in capsys.readouterr().err


def test_event_handler_keeps_result_signature_and_kind():
    def plain(a: int, request: gr.Request, **values: int) -> int:
        """Words."""
        return a + sum(values.values())

    def stream(a: int):
        yield from range(a)

    assert event_handler(plain)(1, None, b=2, c=3) == 6
    assert list(event_handler(stream)(3)) == [0, 1, 2]
    # Gradio passes the request by the annotation, and streams generators.
    assert inspect.signature(event_handler(plain)) == inspect.signature(plain)
    assert inspect.isgeneratorfunction(event_handler(stream))
    assert not inspect.isgeneratorfunction(event_handler(plain))


def test_closing_a_stream_closes_the_handler():
    closed = []

    def stream():
        try:
            yield 1
        finally:
            closed.append(True)

    running = event_handler(stream)()
    next(running)
    running.close()
    assert closed == [True]


HOSTILE = "<img src=x onerror=alert(1)> & 'more'\nsecond line"


def hostile_error():
    raise StudioError(HOSTILE)


@KINDS
def test_hostile_text_in_a_toast_stays_text(kind):
    with pytest.raises(gr.Error) as raised:
        kind(hostile_error)()
    assert raised.value.message == escape_toast(HOSTILE)
    assert html.unescape(escape_toast(HOSTILE).replace("<br>", "\n")) == HOSTILE
    assert escape_toast(HOSTILE).count("<") == 1, "only the line break"


def test_toast_stays_as_long_as_it_takes_to_read(monkeypatch):
    for words, seconds in ((1, 6.5), (30, 21), (1000, 60)):
        assert reading_seconds("word " * words) == seconds
        with pytest.raises(gr.Error) as raised:
            event_handler(lambda words=words: _refuse("word " * words))()
        assert raised.value.duration == seconds
    durations = {}
    for kind, toast in (("Info", info), ("Warning", warn)):
        monkeypatch.setattr(gr, kind, lambda text, duration, kind=kind: durations.update({kind: duration}))
        toast("word " * 9, "Title")
    assert durations == {"Info": 11, "Warning": 11}


def _refuse(words):
    raise StudioError(words)
