"""The top of the page: the caller's role, a warning about storage, and what a visitor cannot use.

For a visitor, controls that only the owner may use are disabled, and closed parts of the page that hold nothing else
are hidden; studio/authorized_blocks.py refuses the calls themselves.
"""

import os
from typing import Any

import gradio as gr

from core.access import roles
from core.access.quotas import Tokens
from core.access.roles import Access, Caller, Way
from core.settings import SPACE_DISK, Settings, hardware, on_space
from studio.authorized_blocks import AuthorizedBlocks
from studio.html import render
from studio.wiring import PRIVATE, connect

# Events that a person triggers; others, such as `change`, follow from these.
_USER_EVENTS = {"click", "upload", "submit", "input", "release"}


def build_head(title: str, access: Access) -> gr.HTML:
    """Build the title row and return the notice below it, which `connect_header` fills."""
    with gr.Row(elem_id="head"):
        gr.HTML(render("head", title=title, hardware=hardware().description), padding=False)
        # Hugging Face's own button, which does something only on a Space.
        if os.environ.get("SPACE_ID"):
            gr.DuplicateButton("Duplicate this Space", size="sm", elem_id="duplicate", scale=0, min_width=180)
    return gr.HTML(elem_id="notice", padding=False, visible=access.way is Way.SPACE)


def notice_html(access: Access, settings: Settings, tokens: Tokens) -> str:
    """Return the notice above the tabs for the current caller; empty on one's own machine.

    Args:
        access: How the server knows its callers.
        settings: The studio's settings.
        tokens: What visitors used of their quotas today.
    """
    caller = roles.caller()
    loses_data = caller.is_owner and on_space() and not settings.home.resolve().is_relative_to(SPACE_DISK)
    is_visitor = access.way is Way.SPACE and not caller.is_owner
    return render(
        "notice",
        loses_data=loses_data,
        visitor=_visitor_values(access, tokens, caller) if is_visitor else None,
        account=caller.account,
    )


def _visitor_values(access: Access, tokens: Tokens, caller: Caller) -> dict[str, Any]:
    return {
        "author": access.author or "its owner",
        "can_sign_in": access.oauth,
        "tokens_per_day": f"{tokens.quotas.visitor_tokens:,}",
        "tokens_left": f"{tokens.left(caller.name):,}",
        "answer_tokens": f"{tokens.quotas.visitor_answer:,}",
    }


def _split_controls(demo: AuthorizedBlocks) -> tuple[set[int], set[int]]:
    """Return the ids of the controls that a visitor may use, and of those whose every event is the owner's."""
    opened, closed = set(), set()
    for function in demo.fns.values():
        for number, event in function.targets:
            if event in _USER_EVENTS and number in demo.blocks and function.fn is not None:
                (opened if function.fn.for_visitors else closed).add(number)
    return opened, closed - opened


def owner_controls(demo: AuthorizedBlocks) -> list[gr.components.Component]:
    """Return the controls whose every event is the owner's; a visitor sees them disabled."""
    closed = _split_controls(demo)[1]
    return [part for number, part in demo.blocks.items() if number in closed and hasattr(part, "interactive")]


def owner_accordions(demo: AuthorizedBlocks) -> list[gr.Accordion]:
    """Return the accordions in which a visitor can neither use nor read anything."""
    opened, closed = _split_controls(demo)
    for function in demo.fns.values():
        # HTML that a visitor's events fill is there to be read.
        is_filled = function.fn is not None and function.fn.for_visitors
        if is_filled and getattr(function.fn, "fills_for_visitors", True):
            opened |= {part._id for part in function.outputs if isinstance(part, gr.HTML)}
    boxes = [block for block in demo.blocks.values() if isinstance(block, gr.Accordion)]
    return [box for box in boxes if (inside := _ids_inside(box)) & closed and not inside & opened]


def _ids_inside(block: gr.blocks.Block) -> set[int]:
    children = getattr(block, "children", [])
    return {child._id for child in children}.union(*map(_ids_inside, children))


def _disabled(part: gr.components.Component) -> dict[str, Any]:
    """Return the update that disables a control; a primary button, at the end of a form, also says why."""
    is_primary = isinstance(part, gr.Button) and part.variant == "primary"
    label = {"value": f"{part.value} (owner only)"} if is_primary else {}
    return gr.update(interactive=False, **label)


def connect_header(
    demo: AuthorizedBlocks, settings: Settings, tokens: Tokens, notice: gr.HTML, owner_tab: gr.Tab
) -> None:
    """Adapt the page to its caller when it loads. To be called last: it reads the events of the whole page.

    Args:
        demo: The page.
        settings: The studio's settings.
        tokens: What visitors used of their quotas today.
        notice: Filled with `notice_html`.
        owner_tab: Hidden from visitors.
    """
    controls = {f"control {part._id}": part for part in owner_controls(demo)}
    accordions = {f"accordion {box._id}": box for box in owner_accordions(demo)}

    def greet() -> dict[str, Any]:
        """Fill the notice, and disable or hide for a visitor what is the owner's."""
        shown = {
            "notice": gr.update(value=notice_html(demo.access, settings, tokens), visible=True),
            "owner_tab": gr.update(visible=roles.caller().is_owner),
        }
        if roles.caller().is_owner:
            return shown
        return {
            **shown,
            **{name: _disabled(part) for name, part in controls.items()},
            **{name: gr.update(visible=False) for name in accordions},
        }

    outputs = {"notice": notice, "owner_tab": owner_tab, **controls, **accordions}
    connect(demo.load, greet, outputs=outputs, visitor=True, **PRIVATE)
