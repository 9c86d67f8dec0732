"""Widgets of a push to the Hub, and what all pushes of the page share: the target, the account, and the result."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import SecretStr, ValidationError

from components.model_form import build_field
from core.errors import StudioError, sentences
from core.hub.account import find_account
from core.hub.push import Pushed
from core.hub.target import PushTarget
from core.system import secret_masking
from studio import hub_tokens
from studio.html import render
from studio.wiring import UNLIMITED, connect

_SIGNED_IN = "your sign-in with Hugging Face"
_TITLES = {name: field.title or name for name, field in PushTarget.model_fields.items()}


@dataclass(frozen=True)
class PushWidgets:
    """Widgets of a push.

    Attributes:
        fields: The fields of `PushTarget`, by name.
        check: Shows the account of the token.
        push: Starts the push.
        account: The account, or the result of the push.
    """

    fields: dict[str, gr.components.Component]
    check: gr.Button
    push: gr.Button
    account: gr.HTML


def build_push(form: str) -> PushWidgets:
    """Build the widgets in the open layout, and connect the button that shows the account.

    Args:
        form: Name of the form, unique on the page.
    """
    with gr.Row(elem_classes="qs-even"):
        repo = build_field(form, PushTarget, "repo", placeholder="you/name", min_width=200)
        branch = build_field(form, PushTarget, "branch", placeholder="main", min_width=140)
        token = build_field(form, PushTarget, "token", type="password", min_width=200)
    with gr.Row(elem_classes="qs-even"):
        private = build_field(form, PushTarget, "private", min_width=160)
        pull_request = build_field(form, PushTarget, "pull_request", min_width=160)
    with gr.Row():
        check = gr.Button("Show account", size="sm", scale=0, min_width=140, elem_id=f"{form}-account")
        push = gr.Button("Push to Hub", size="sm", scale=0, min_width=140, elem_id=f"{form}-start", variant="primary")
    account = gr.HTML(elem_id=f"{form}-result", padding=False)
    connect(check.click, show_account, {"token": token}, {"account": account}, **UNLIMITED)
    fields = {"repo": repo, "branch": branch, "private": private, "pull_request": pull_request, "token": token}
    return PushWidgets(fields, check, push, account)


def show_account(token: str | None) -> dict[str, Any]:
    """Show the account of the token that a push would use, and what the token may do."""
    secret, source = _find_secret(token)
    return {"account": result_html(find_account(secret, source).describe())}


def read_target(
    repo: str | None, private: bool, branch: str | None = "", pull_request: bool = False, token: str | None = None
) -> tuple[PushTarget, str | None]:
    """Return the target of a push, and the source of its token; None if it was typed or is that of the machine.

    Args:
        repo: The repository.
        private: Whether a new one is private.
        branch: The branch.
        pull_request: Whether to open a pull request.
        token: The token; without one, that of the caller's sign-in is taken, else that of the machine.

    Raises:
        StudioError: A value cannot be used.
    """
    secret, source = _find_secret(token)
    try:
        target = PushTarget(
            repo=repo or "", private=private, branch=branch or "", pull_request=pull_request,
            token=SecretStr(secret) if secret else None,
        )  # fmt: skip
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: _TITLES.get(name, name))) from error
    return target, source


def _find_secret(token: str | None) -> tuple[str | None, str | None]:
    """Return a token, and its source if it was not typed; both are None if the machine's token is used."""
    if token and token.strip():
        secret_masking.mask_value(token.strip())
        return token.strip(), None
    signed_in = hub_tokens.find()
    return (signed_in, _SIGNED_IN) if signed_in else (None, None)


def result_html(text: str) -> str:
    """Return a sentence about the Hub as HTML."""
    return render("hub_result", text=text, url="", notes=[])


def pushed_html(done: Pushed) -> str:
    """Return where something was pushed, who can read it, and as whom it was pushed, as HTML."""
    return render("hub_result", text=f"Pushed to {done.repo}, which is {done.visibility}.", url=done.url,
                  notes=[done.account])  # fmt: skip
