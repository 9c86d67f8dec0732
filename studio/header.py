"""The top of the page: whose it is, what is closed to whoever looks, and a warning where the disk forgets."""

import html
import os
from typing import Any

import gradio as gr

from core.access import roles
from core.access.quotas import Tokens
from core.access.roles import Access, Caller, Way
from core.settings import SPACE_DISK, Settings, on_space
from studio.authorized_blocks import Guarded
from studio.handlers import event_handler

_FORGETS = (
    "This Space has no persistent storage: runs, data sets and chats are gone when it restarts. "
    "Add storage in its settings; it is used once it is mounted on /data."
)
_PRESSED = {"click", "upload", "submit", "input", "release"}


def notice_html(known_as: Access, settings: Settings, tokens: Tokens) -> str:
    """What stands above the tabs for the present caller; nothing on one's own machine."""
    parts, caller = [], roles.caller()
    if caller.is_owner and on_space() and not settings.home.resolve().is_relative_to(SPACE_DISK):
        parts.append(f'<div class="qs-alert">{_FORGETS}</div>')
    if known_as.way is Way.SPACE and not caller.is_owner:
        parts.append(_to_visitors(known_as, tokens, caller))
    if caller.account:
        parts.append(
            f'<div class="qs-signed">Signed in as {html.escape(caller.account)}. <a href="./logout">Sign out</a></div>'
        )
    return "".join(parts)


def _to_visitors(known_as: Access, tokens: Tokens, caller: Caller) -> str:
    author, most = html.escape(known_as.author or "its owner"), tokens.quotas
    lines = {
        f"You are a visitor of {author}'s studio.": _who_is_owner(known_as, author, caller),
        "Open:": "the bundled and published data, finished published runs, chat with them, votes.",
        "Closed,": "because it costs the owner's machine: uploads, the Hub, cutting and counting, training, answers to "
        "many prompts, exports of data. Duplicate the Space to have all of it for yourself.",
        "Your chat:": f"{most.visitor_tokens:,} tokens a day, prompts counted, {tokens.left(caller.name):,} left when "
        f"this page was opened; an answer has at most {most.visitor_answer:,}.",
    }
    said = "".join(f"<div><b>{first}</b> {rest}</div>" for first, rest in lines.items())
    return f'<div class="qs-alert qs-visitor">{said}</div>'


def _who_is_owner(known_as: Access, author: str, caller: Caller) -> str:
    if not known_as.oauth:
        return "The owner signs in where the Space has hf_oauth or STUDIO_PASSWORD."
    if caller.account:
        return f"Owners are {author}, and who may write for {author} and lets Hugging Face say so."
    return f'Are you {author}? <a href="./login/huggingface" target="_blank" rel="noopener">Sign in</a>'


def _pressed(demo: Guarded) -> tuple[set[int], set[int]]:
    """The numbers of the controls that a visitor may press, and of those whose every event is the owner's."""
    opened, closed = set(), set()
    for function in demo.fns.values():
        for number, event in function.targets:
            if event in _PRESSED and number in demo.blocks and function.fn is not None:
                (opened if function.fn.for_visitors else closed).add(number)
    return opened, closed - opened


def closed_to_visitors(demo: Guarded) -> list[gr.components.Component]:
    """The controls whose every event is the owner's: for a visitor they are shown, and cannot be pressed."""
    closed = _pressed(demo)[1]
    return [part for number, part in demo.blocks.items() if number in closed and hasattr(part, "interactive")]


def boxes_of_the_owner(demo: Guarded) -> list[gr.Accordion]:
    """The boxes that a visitor would open in vain: all that can be pressed in them is the owner's."""
    opened, closed = _pressed(demo)
    for function in demo.fns.values():
        if function.fn is not None and function.fn.for_visitors:
            opened |= {part._id for part in function.outputs if isinstance(part, gr.HTML)}  # there to be read
    boxes = [block for block in demo.blocks.values() if isinstance(block, gr.Accordion)]
    return [box for box in boxes if (inside := _inside(box)) & closed and not inside & opened]


def _whose(part: gr.components.Component) -> dict[str, str]:
    """The large buttons, at which a form ends, say why they cannot be pressed."""
    primary = isinstance(part, gr.Button) and part.variant == "primary"
    return {"value": f"{part.value}: the owner's"} if primary else {}


def _inside(block: gr.blocks.Block) -> set[int]:
    children = getattr(block, "children", [])
    return {child._id for child in children}.union(*map(_inside, children))


def build_welcome(demo: Guarded, settings: Settings, tokens: Tokens, notice: gr.HTML, owner_tab: gr.Tab) -> None:
    """Wire the top; called when all else is wired."""
    closed, boxes = closed_to_visitors(demo), boxes_of_the_owner(demo)

    def greet() -> list[Any]:
        said = gr.update(value=notice_html(demo.access, settings, tokens), visible=True)
        if roles.caller().is_owner:
            return [said, gr.update(visible=True), *([gr.skip()] * len([*closed, *boxes]))]
        parts = [gr.update(interactive=False, **_whose(part)) for part in closed]
        named = [gr.update(label=f"{box.label}: the owner's") for box in boxes]
        return [said, gr.update(visible=False), *parts, *named]

    shown = [notice, owner_tab, *closed, *boxes]
    demo.load(event_handler(greet, visitor=True), None, shown, show_progress="hidden", api_visibility="private")


def duplicate() -> None:
    """Hugging Face's own button, which only means something on a Space."""
    if os.environ.get("SPACE_ID"):
        gr.DuplicateButton("Duplicate this Space", size="sm", elem_id="duplicate", scale=0, min_width=180)
