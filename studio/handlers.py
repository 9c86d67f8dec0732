"""What a handler raises, as the page shows it: a StudioError is a sentence, anything else is a defect and says so."""

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

DEFECT = "Something went wrong in the studio itself: {}. The server's log has the details; please report it."

_SEEN_SECONDS, _LONGEST_SECONDS = 6.0, 60.0  # until somebody looks; of the longest toast
_WORDS_A_SECOND = 2.0


def inert(text: str) -> str:
    """Text for a toast, which shows HTML: what stands in a file or a form must not become markup there."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def reading_seconds(text: str) -> float:
    """How long a toast stays: for a slow reader who sees it late, and no longer than a minute."""
    return round(min(_LONGEST_SECONDS, _SEEN_SECONDS + len(text.split()) / _WORDS_A_SECOND), 1)


def info(text: str, title: str) -> None:
    """A toast with a title of its own; Gradio heads every toast with its kind."""
    gr.Info(f"<b>{inert(title)}</b><br>{inert(text)}", duration=reading_seconds(f"{title} {text}"))


def warn(text: str, title: str) -> None:
    gr.Warning(f"<b>{inert(title)}</b><br>{inert(text)}", duration=reading_seconds(f"{title} {text}"))


_EVENT = "The event does not carry what this control of the page sends ({})."
_MISFITS = (AttributeError, TypeError, ValueError, LookupError)
_BROUGHT = (gr.EventData, gr.Request)  # by Gradio itself


def _takes_event(handler: Callable[..., Any]) -> bool:
    kinds = [parameter.annotation for parameter in inspect.signature(handler).parameters.values()]
    return any(isinstance(kind, type) and issubclass(kind, gr.EventData) for kind in kinds)


def misfit(handler: Callable[..., Any], args: tuple, named: dict[str, Any]) -> str:
    """Which value is not of the type that a handler expects, in a sentence; empty when all are.

    Components hold most values to a type, but not all of them: a list may have anything in it, and a program may send
    what no page does. It is asked once a handler has failed, so that it costs nothing before.
    """
    try:
        given = inspect.signature(handler).bind(*args, **named)
    except TypeError as error:
        return f"The call has other values than this one takes ({error}). Expected those in docs/api.md."
    for name, value in given.arguments.items():
        parameter = given.signature.parameters[name]
        kind = parameter.annotation
        if kind in (inspect.Parameter.empty, Any) or (isinstance(kind, type) and issubclass(kind, _BROUGHT)):
            continue
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        try:
            TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
        except (ValidationError, PydanticUserError):
            words = kind.__name__ if isinstance(kind, type) else str(kind)
            return f"{name} does not fit (given: {str(value)[:80]!r}). Expected {words}, as docs/api.md says."
    return ""


def shown(error: Exception) -> gr.Error:
    """An error as the page shows it. A defect goes to the log, with what is secret in it masked."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, (StudioError, ValidationError)):
        text = sentences(error) if isinstance(error, ValidationError) else str(error)
        return gr.Error(inert(masked(text)), duration=reading_seconds(text), print_exception=False)
    print(masked("".join(traceback.format_exception(error))), file=sys.stderr)
    words = DEFECT.format(type(error).__name__)
    return gr.Error(words, duration=reading_seconds(words), print_exception=False)


def event_handler(handler: Callable[..., Any], visitor: bool = False) -> Callable[..., Any]:
    """Wrap an event handler so that its errors reach the page as sentences, never as tracebacks.

    Args:
        visitor: whether a visitor may call it, too; `studio.authorized_blocks` asks for it at every call.
    """
    takes_event = _takes_event(handler)

    def failure(error: Exception, args: tuple, named: dict[str, Any]) -> gr.Error:
        if isinstance(error, _MISFITS) and not isinstance(error, (ValidationError, StudioError)):
            if words := misfit(handler, args, named):
                return shown(StudioError(words))
            if takes_event:  # Gradio checks nothing of what an event brings
                return shown(StudioError(_EVENT.format(type(error).__name__)))
        return shown(error)

    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                raise failure(error, args, kwargs) from error

        stream.for_visitors = visitor
        return stream

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise failure(error, args, kwargs) from error

    call.for_visitors = visitor
    return call
