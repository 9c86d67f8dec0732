"""Errors of event handlers as the page shows them, and toasts.

A StudioError or a ValidationError is shown as its text. Anything else is a defect: the page says so, and the traceback
goes to the log with secrets masked.
"""

import functools
import html
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any

import gradio as gr
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from core.errors import StudioError, sentences
from core.system.secret_masking import masked

_DEFECT = "Something went wrong in the studio itself: {}. The server's log has the details; please report it."
_BAD_EVENT = "The event of this call is incomplete ({}). Reload the page and try again."

# Seconds until a reader notices a toast, its longest duration, and the reading speed of a slow reader.
_NOTICE_SECONDS, _MAX_TOAST_SECONDS = 6.0, 60.0
_WORDS_PER_SECOND = 2.0

# Errors that Python raises when a handler gets values of other types than it expects.
_MISFIT_ERRORS = (AttributeError, TypeError, ValueError, LookupError)
_FILLED_BY_GRADIO = (gr.EventData, gr.Request)
_MAX_SHOWN_CHARACTERS = 80
# More than any error has in the studio's own words.
_MAX_ERROR_CHARACTERS = 4_000


class ShownError(StudioError):
    """Error that the page shows already where it belongs, so that no toast repeats it."""


def escape_toast(text: str) -> str:
    """Return text for a toast, which shows HTML: text of a file or a form must not become markup."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def reading_seconds(text: str) -> float:
    """Return how long a toast stays: enough for a slow reader, and at most a minute."""
    return round(min(_MAX_TOAST_SECONDS, _NOTICE_SECONDS + len(text.split()) / _WORDS_PER_SECOND), 1)


def info(text: str, title: str) -> None:
    """Show a toast with a title of its own below Gradio's heading."""
    gr.Info(_titled(text, title), duration=reading_seconds(f"{title} {text}"))


def warn(text: str, title: str) -> None:
    """Show a warning toast with a title of its own below Gradio's heading."""
    gr.Warning(_titled(text, title), duration=reading_seconds(f"{title} {text}"))


def _titled(text: str, title: str) -> str:
    return f"<b>{escape_toast(title)}</b><br>{escape_toast(text)}"


def describe_misfit(handler: Callable[..., Any], args: tuple, named: dict[str, Any]) -> str:
    """Return which value has another type than the handler expects; empty if all fit.

    Components check most values, but not all: a list may hold anything, and a program may send what no page does. The
    check runs only after a handler has failed, so that it costs nothing otherwise.

    Args:
        handler: Its annotations are the expected types.
        args: Positional values of the call.
        named: Keyword values of the call.
    """
    try:
        given = inspect.signature(handler).bind(*args, **named)
    except TypeError as error:
        return f"This call does not accept these arguments ({error}). Send those that docs/api.md lists."
    for name, value in given.arguments.items():
        parameter = given.signature.parameters[name]
        kind = parameter.annotation
        if kind in (inspect.Parameter.empty, Any) or (isinstance(kind, type) and issubclass(kind, _FILLED_BY_GRADIO)):
            continue
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        try:
            TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
        except (ValidationError, PydanticUserError):
            expected = kind.__name__ if isinstance(kind, type) else str(kind)
            shown = str(value)[:_MAX_SHOWN_CHARACTERS]
            return f"{name} does not fit (given: {shown!r}). Expected {expected}, as docs/api.md says."
    return ""


def to_page_error(error: Exception) -> gr.Error:
    """Return an exception as the page shows it; a defect is also logged, with secrets masked."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, (StudioError, ValidationError)):
        text = _shorten(sentences(error) if isinstance(error, ValidationError) else str(error))
        toast = {"duration": reading_seconds(text), "visible": not isinstance(error, ShownError)}
        return gr.Error(escape_toast(masked(text)), print_exception=False, **toast)
    print(masked("".join(traceback.format_exception(error))), file=sys.stderr)
    # Only the type's name: the message may hold a path or a secret.
    text = _DEFECT.format(type(error).__name__)
    return gr.Error(text, duration=reading_seconds(text), print_exception=False)


def _shorten(text: str) -> str:
    """Return an error without its middle if it is very long, as when it repeats a value that a caller sent."""
    if len(text) <= _MAX_ERROR_CHARACTERS:
        return text
    # The end says what to do, so it stays.
    half = _MAX_ERROR_CHARACTERS // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]} … ({left_out:,} characters left out) … {text[-half:]}"


def takes_event(handler: Callable[..., Any]) -> bool:
    """Return whether a handler asks for the data of its event."""
    kinds = [parameter.annotation for parameter in inspect.signature(handler).parameters.values()]
    return any(isinstance(kind, type) and issubclass(kind, gr.EventData) for kind in kinds)


def _explain(error: Exception, handler: Callable[..., Any], args: tuple, named: dict[str, Any]) -> gr.Error:
    """Return a handler's exception as the page shows it, or the misfit of its values that has caused it."""
    if isinstance(error, _MISFIT_ERRORS) and not isinstance(error, (ValidationError, StudioError)):
        if text := describe_misfit(handler, args, named):
            return to_page_error(StudioError(text))
        # Gradio checks nothing of what an event carries, so a wrong event is the likely cause.
        if takes_event(handler):
            return to_page_error(StudioError(_BAD_EVENT.format(type(error).__name__)))
    return to_page_error(error)


def shows_visitors_nothing(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a handler that fills nothing for visitors, whose pages call it by themselves (`studio.header`)."""
    handler.fills_for_visitors = False  # type: ignore[attr-defined]
    return handler


def event_handler(handler: Callable[..., Any], visitor: bool = False) -> Callable[..., Any]:
    """Wrap an event handler so that its errors reach the page as sentences, never as tracebacks.

    The wrapper also authorizes the handler: `studio.authorized_blocks` refuses functions that were not wrapped.

    Args:
        handler: A function or a generator function.
        visitor: Whether visitors may call it.
    """
    # Gradio streams generator functions and awaits others, so the wrapper has to be of the same kind.
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                raise _explain(error, handler, args, kwargs) from error

        stream.for_visitors = visitor
        return stream

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise _explain(error, handler, args, kwargs) from error

    call.for_visitors = visitor
    return call
