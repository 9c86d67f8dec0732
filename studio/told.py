"""What a handler raises, as the page shows it: a StudioError is a sentence, anything else is a defect and says so."""

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import gradio as gr
from pydantic import ValidationError

from core.errors import StudioError, sentences

DEFECT = "Something went wrong in the studio itself: {}. The server's log has the details; please report it."


def _shown(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, StudioError):
        return gr.Error(str(error), title="That did not work", duration=None, print_exception=False)
    if isinstance(error, ValidationError):
        return gr.Error(sentences(error), title="That did not work", duration=None, print_exception=False)
    traceback.print_exception(error)
    return gr.Error(DEFECT.format(type(error).__name__), title="Defect", duration=None, print_exception=False)


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an event handler so that its errors reach the page as sentences, never as tracebacks."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                raise _shown(error) from error

        return stream

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise _shown(error) from error

    return call
