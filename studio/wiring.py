"""Connect event handlers to components by name.

A handler takes its inputs as keyword arguments and returns `{name: value}`. `connect` turns both into Gradio's
components, so no handler and no test depends on the order of a list:

    def count(text: str) -> dict[str, Any]:
        return {"words": len(text.split())}

    connect(box.change, count, inputs={"text": box}, outputs={"words": number, "status": label})

An output that the handler leaves out keeps what it shows.
"""

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.access import roles
from core.errors import StudioError
from studio.handlers import event_handler, takes_event

Named = Mapping[str, Block]
# Bounds of what a `gr.State` keeps: 20,000 parts are hashed in about 50 ms.
_MAX_STATE_PARTS = 20_000
# In bytes of memory, in which a character takes one, two or four. A visitor's page keeps about 2 KB; 20 filters of 200
# short categories each take 60 KB. The owner's may list some thousand files to be removed.
MAX_VISITORS_STATE_BYTES, MAX_STATE_BYTES = 2**18, 2**20
_EMPTY_TEXT_BYTES = sys.getsizeof("")
# Options of an event that only the page uses.
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# Options of such an event that only reads files or fills widgets, so that any number of them may run at once.
UNLIMITED: dict[str, Any] = {**PRIVATE, "concurrency_limit": None}
# Options of calls whose work grows with the size of a run or a chat: at most two of them run at once, so that any
# number of them leaves the processors to others.
HEAVY: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "heavy"}
# Option of an event that may be triggered while it runs: only its last trigger is kept. Gradio repeats the data of the
# first one then, so no handler that takes a `gr.EventData` may have it.
LATEST_ONLY: dict[str, Any] = {"trigger_mode": "always_last"}


def check_state_size(value: Any) -> None:
    """Check that a value is small enough for a `gr.State`.

    The server keeps it as long as the page is open, and Gradio hashes all of it at every call of the page, in the one
    thread that serves everybody.

    Raises:
        StudioError: It has too many parts or too much text.
    """
    limit = MAX_STATE_BYTES if roles.caller().is_owner else MAX_VISITORS_STATE_BYTES
    parts, size, pending = 0, 0, [value]
    # A loop instead of recursion: the value may come from a caller and be nested deeply.
    while pending:
        part = pending.pop()
        parts += 1
        # A dataclass counts as its fields; Gradio hashes those, too.
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            part = vars(part)
        if isinstance(part, dict):
            pending += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
        elif isinstance(part, str):
            # Not the length: one emoji makes every character of its text take four bytes.
            size += sys.getsizeof(part) - _EMPTY_TEXT_BYTES
        if parts + len(pending) > _MAX_STATE_PARTS or size > limit:
            raise StudioError(
                f"This call would leave more than {_MAX_STATE_PARTS:,} values or {limit // 1024:,} KiB of text in the "
                "page. Choose fewer rows, values or filters."
            )


def _leave_out_same(
    result: Mapping[str, Any], outputs: Named, inputs: Named, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a result without the values that the same components had when the page made the call.

    They would change nothing, and they would undo what the user has chosen while the handler ran: an update of a list
    that the page asks for by itself repeats the selected entry. None is no choice that could be undone, and stays: the
    change event that Gradio makes of it fills a view that has nothing to show.

    Args:
        result: Values and updates by output.
        outputs: Components by the names of the result.
        inputs: Components by the handler's parameter names.
        given: The handler's arguments by name.
    """
    had = {id(inputs[key]): value for key, value in given.items() if key in inputs and value is not None}
    changed = {}
    for name, value in result.items():
        widget = outputs.get(name)
        if id(widget) not in had or isinstance(widget, gr.State):
            changed[name] = value
        elif not (isinstance(value, dict) and value.get("__type__") == "update"):
            changed[name] = gr.skip() if value == had[id(widget)] else value
        elif "value" in value and value["value"] == had[id(widget)]:
            changed[name] = {key: part for key, part in value.items() if key != "value"}
        else:
            changed[name] = value
    return changed


def by_name(handler: Callable[..., Any], outputs: Named, inputs: Named | None = None) -> Callable[..., Any]:
    """Return a handler whose `{name: value}` results become one value per component, in the order of `outputs`.

    A function's result leaves out what its inputs had already (`_leave_out_same`); of a generator's results all are
    shown, since each may take back the one before.

    Args:
        handler: A function or generator function; None stands for an empty result.
        outputs: Components by the names that the handler may return.
        inputs: Components by the handler's parameter names.

    Raises:
        KeyError: The handler returned a name that is not in `outputs`.
    """

    def values(result: Mapping[str, Any] | None) -> Any:
        result = result or {}
        if unknown := set(result) - set(outputs):
            raise KeyError(f"{handler.__qualname__} returns {sorted(unknown)}, which are not among {sorted(outputs)}")
        for name, value in result.items():
            if isinstance(outputs[name], gr.State):
                check_state_size(value)
        made = [result.get(name, gr.skip()) for name in outputs]
        return made[0] if len(made) == 1 else made or None

    if inspect.isgeneratorfunction(handler):
        return _keep_if_empty(handler, values)

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = handler(*args, **kwargs) or {}
        return values(_leave_out_same(result, outputs, inputs or {}, _by_parameter(handler, args, kwargs)))

    return call


def _keep_if_empty(handler: Callable[..., Any], values: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a generator function whose results are converted; Gradio empties all outputs of one that yields none."""

    @functools.wraps(handler)
    def stream(*args: Any, **kwargs: Any) -> Any:
        is_empty = True
        for result in handler(*args, **kwargs):
            is_empty = False
            yield values(result)
        if is_empty:
            yield values({})

    return stream


def _by_parameter(handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of the parameters; Gradio passes those of a handler by position."""
    bound = inspect.signature(handler).bind(*args, **kwargs)
    named = [name for name, one in bound.signature.parameters.items() if one.kind is inspect.Parameter.VAR_KEYWORD]
    others = {name: value for name, value in bound.arguments.items() if name not in named}
    return others | {key: value for name in named for key, value in bound.arguments.get(name, {}).items()}


def _validator_by_name(validate: Callable[..., Any], inputs: Named) -> Callable[..., Any]:
    """Return a validator whose `{name: gr.validate(...)}` becomes one value per input; what it leaves out is valid."""

    @functools.wraps(validate)
    def call(*args: Any, **values: Any) -> list[Any]:
        # Gradio passes by position what the signature of `validate` names.
        found = validate(*args, **values)
        return [found.get(name, gr.validate(True, "")) for name in inputs]

    return call


def _keep_every_trigger(handler: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an event whose triggers differ in their data: a second row is clicked, another box ticked.

    Gradio leaves out a trigger that comes while the one before runs. That stays so for a generator, which works for a
    while, such as one that streams an answer: a second click on its button means the same.

    Raises:
        ValueError: The options keep only the last trigger.
    """
    if options.get("trigger_mode") == "always_last":
        raise ValueError(f"{handler.__qualname__} would get the data of the first trigger, not of the last.")
    if inspect.isgeneratorfunction(handler):
        return options
    options = {"trigger_mode": "multiple"} | options
    # In order, so that the last one is what the page shows.
    return options | ({"concurrency_limit": 1} if options.get("concurrency_limit", 1) is None else {})


def connect(
    event: Callable[..., Any], handler: Callable[..., Any], inputs: Named | None = None, outputs: Named | None = None,
    visitor: bool = False, validate: Callable[..., Any] | None = None, **options: Any,
) -> Any:  # fmt: skip
    """Connect a handler to an event by the names of its inputs and outputs.

    Args:
        event: An event of a component, such as `button.click`, or `functools.partial(gr.on, [event, event])`. Where its
            handler is a function that takes a `gr.EventData`, all triggers run, one after the other.
        handler: Takes each input as a keyword argument, and a `gr.Request` or `gr.EventData` where it asks for one by
            annotation; returns or yields `{name: value}`.
        inputs: Components by the handler's parameter names.
        outputs: Components by the names that the handler may return.
        visitor: Whether visitors may call it; the owner always may.
        validate: Takes what the handler takes and returns `{name: gr.validate(...)}` for the inputs that have a
            problem; the handler runs only if there is none.
        options: Passed on to the event, such as `api_name` or `show_progress`.

    Returns:
        Gradio's dependency, whose `then` and `success` are events again.
    """
    inputs, outputs = dict(inputs or {}), outputs or {}
    if takes_event(handler):
        options = _keep_every_trigger(handler, options)
    if options.get("show_progress") == "hidden":
        # No component gets a loading status. A hidden status would still cost as much as the update itself.
        options["show_progress_on"] = []
    if validate:
        options["validator"] = event_handler(_validator_by_name(validate, inputs), visitor=visitor)
    return event(
        event_handler(by_name(handler, outputs, inputs), visitor=visitor),
        inputs_kwargs=inputs,
        outputs=list(outputs.values()) or None,
        **options,
    )
