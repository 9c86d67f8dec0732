"""The top of the page: whose it is, what is closed to whoever looks, and a warning where the disk forgets."""

import html
import os
from typing import Any

import gradio as gr

from core import access
from core.access import Access, Caller, Way
from core.quotas import Tokens
from core.settings import SPACE_DISK, Settings, on_space
from studio.guarded import Guarded
from studio.told import told

_FORGETS = (
    "This Space has no persistent storage: runs, data sets and chats are gone when it restarts. "
    "Add storage in its settings; it is used once it is mounted on /data."
)
_PRESSED = {"click", "upload", "submit", "input", "release"}


def notice_html(known_as: Access, settings: Settings, tokens: Tokens) -> str:
    """What stands above the tabs for the present caller; nothing on one's own machine."""
    parts, caller = [], access.caller()
    if caller.is_owner and on_space() and not settings.home.resolve().is_relative_to(SPACE_DISK):
        parts.append(f'<div class="qs-alert">{_FORGETS}</div>')
    if known_as.way is Way.SPACE and not caller.is_owner:
        author = html.escape(known_as.author or "its owner")
        parts.append(
            f'<div class="qs-alert">You are a visitor of {author}\'s studio. Open: the bundled and published data, '
            "finished published runs, chat with them, votes. Closed, because it costs the owner's machine: uploads, "
            "the Hub, cutting and counting, training, answers to many prompts, exports. "
            f"{_allowed(tokens, caller)} "
            f"{_who_is_owner(known_as, author, caller)} Duplicate the Space to have all of it for yourself.</div>"
        )
    if caller.account:
        parts.append(
            f'<div class="qs-signed">Signed in as {html.escape(caller.account)}. <a href="./logout">Sign out</a></div>'
        )
    return "".join(parts)


def _allowed(tokens: Tokens, caller: Caller) -> str:
    most = tokens.quotas
    return (
        f"Of your {most.visitor_tokens:,} tokens a day in chat {tokens.left(caller.name):,} are left, prompts counted; "
        f"an answer has at most {most.visitor_answer:,}."
    )


def _who_is_owner(known_as: Access, author: str, caller: Caller) -> str:
    if not known_as.oauth:
        return "The owner signs in where the Space has hf_oauth or STUDIO_PASSWORD."
    if caller.account:
        return f"Owners are {author}, and who may write for {author} and lets Hugging Face say so."
    return f'Are you {author}? <a href="./login/huggingface" target="_blank" rel="noopener">Sign in</a>.'


def closed_to_visitors(demo: Guarded) -> list[gr.components.Component]:
    """The controls whose every event is the owner's: for a visitor they are shown, and cannot be pressed."""
    opened, closed = set(), {}
    for function in demo.fns.values():
        for number, event in function.targets:
            if event in _PRESSED and number in demo.blocks and function.fn is not None:
                part = demo.blocks[number]
                (opened.add(number) if function.fn.for_visitors else closed.setdefault(number, part))
    return [part for number, part in closed.items() if number not in opened and hasattr(part, "interactive")]


def build_welcome(demo: Guarded, settings: Settings, tokens: Tokens, notice: gr.HTML, owner_tab: gr.Tab) -> None:
    """Wire the top; called when all else is wired."""
    closed = closed_to_visitors(demo)

    def greet() -> list[Any]:
        said = gr.update(value=notice_html(demo.access, settings, tokens), visible=True)
        if access.caller().is_owner:
            return [said, gr.update(visible=True), *([gr.skip()] * len(closed))]
        return [said, gr.update(visible=False), *(gr.update(interactive=False) for _ in closed)]

    demo.load(
        told(greet, visitor=True), None, [notice, owner_tab, *closed], show_progress="hidden", api_visibility="private"
    )


def duplicate() -> None:
    """Hugging Face's own button, which only means something on a Space."""
    if os.environ.get("SPACE_ID"):
        gr.DuplicateButton("Duplicate this Space", size="sm", elem_id="duplicate", scale=0, min_width=180)
