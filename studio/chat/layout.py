"""The widgets of the Chat tab, and the names that event handlers use for them as outputs.

    chat-page ┬─ chat-main    models on top, the conversation, and the composer at the bottom, which is always in sight
              ├─ DRAWER       settings, votes and files, which the button Settings opens
              └─ WHY_DRAWER   training rows nearest to an answer, which its button “Similar training rows” opens

The first HTML is that of a page whose conversation and models are not known yet; it says nothing about them.
"""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from components.browser_storage import StoredText, build_stored_text
from components.chat_board import build_chat_board
from components.conversation import skeleton_html
from components.data_table import build_data_table
from components.download import Download, build_download
from components.model_form import build_fields
from components.side_drawer import build_drawer, build_drawer_button
from core.chat.sampling import Sampling
from core.chat.turns import MAX_LANES
from studio.chat.chat_html import SHOW_OPTIONS
from studio.chat.model_picker import ALL_LANES
from studio.html import read_static, render

_STORAGE_KEY = "qlora-studio-chats"
DRAWER, WHY_DRAWER = "chat-settings", "chat-why"
_LOADING = skeleton_html("Loading the chat …")
_LOADING_CHOICE = [("Loading …", "")]
# Lanes whose widgets are visible before a page has opened its conversation.
_INITIAL_LANES = 2

Outputs = dict[str, Block]


@dataclass(frozen=True)
class ChatStates:
    """Values that a page keeps between events.

    Attributes:
        my_chats: Ids of this browser's conversations, the current one first.
        chat_id: The current conversation.
        editing: Index of the turn that Send replaces; -1 if Send adds one.
        form_scope: The scope whose settings the form shows.
        suggested: The suggested questions with their reference answers.
        suggested_for: The run that they are about; empty for the bundled data.
        reference: The suggestion in the prompt box, as question and reference answer.
        rows_source: The dataset of the training rows that are shown.
        row_wanted: The row among them that was clicked.
    """

    my_chats: StoredText
    chat_id: gr.State
    editing: gr.State
    form_scope: gr.State
    suggested: gr.State
    suggested_for: gr.State
    reference: gr.State
    rows_source: gr.State
    row_wanted: gr.State


@dataclass(frozen=True)
class LaneWidgets:
    """Widgets above a conversation: a base, the number of lanes, each lane's run and checkpoint, what answers show."""

    base: gr.Dropdown
    count: gr.Radio
    runs: list[gr.Dropdown]
    checkpoints: list[gr.Slider]
    blind: gr.Checkbox
    show: gr.CheckboxGroup


@dataclass(frozen=True)
class ConversationWidgets:
    """The boards of a conversation, the prompt box, and the buttons around it."""

    hint: gr.Markdown
    invitation: gr.HTML
    past: gr.HTML
    now: gr.HTML
    prompt: gr.Textbox
    send: gr.Button
    stop: gr.Button
    suggestions: gr.Dataset
    more_suggestions: gr.Button
    retry: gr.Button
    undo: gr.Button
    new_chat: gr.Button


@dataclass(frozen=True)
class PanelWidgets:
    """The parts of the drawers: other chats, settings, votes, files; training rows."""

    earlier: gr.Dropdown
    branch: gr.Dropdown
    scope: gr.Radio
    fields: dict[str, gr.components.Component]
    nearest_rows: gr.HTML
    tally: gr.HTML
    preferences: Download
    jsonl: Download
    markdown: Download
    show_prompts: gr.Button
    prompts: gr.HTML
    unload: gr.Button


@dataclass(frozen=True)
class ChatWidgets:
    """All widgets of the tab; the properties name those that event handlers update together."""

    states: ChatStates
    lanes: LaneWidgets
    conversation: ConversationWidgets
    panels: PanelWidgets

    @property
    def view_outputs(self) -> Outputs:
        """Return the outputs of `studio.chat.view.view_updates`."""
        widgets = self.conversation
        return {
            "past": widgets.past,
            "now": widgets.now,
            "prompt": widgets.prompt,
            "hint": widgets.hint,
            "editing": self.states.editing,
            "stop_button": widgets.stop,
            "send_button": widgets.send,
            "retry_button": widgets.retry,
            "undo_button": widgets.undo,
        }

    @property
    def lane_outputs(self) -> Outputs:
        """Return the outputs of `ModelPicker.lane_updates`."""
        lanes = self.lanes
        runs = {f"run_{number}": widget for number, widget in enumerate(lanes.runs, 1)}
        checkpoints = {f"checkpoint_{number}": widget for number, widget in enumerate(lanes.checkpoints, 1)}
        return {"base": lanes.base, "lane_count": lanes.count, **runs, **checkpoints, "scope": self.panels.scope}

    @property
    def form_outputs(self) -> Outputs:
        """Return the outputs of `AnswerSettings.switch_scope`: the form's fields by the names of `Sampling`."""
        return {"form_scope": self.states.form_scope, **self.panels.fields}

    @property
    def suggestion_outputs(self) -> Outputs:
        """Return the outputs of `Suggestions.suggest`."""
        return {
            "suggestions": self.conversation.suggestions,
            "suggested": self.states.suggested,
            "suggested_for": self.states.suggested_for,
            "invitation": self.conversation.invitation,
        }

    @property
    def chat_outputs(self) -> Outputs:
        """Return the outputs of what opens a conversation: all that shows it."""
        opened = {"my_chats": self.states.my_chats.text, "chat_id": self.states.chat_id}
        more = {
            "earlier": self.panels.earlier,
            "branch": self.panels.branch,
            "tally": self.panels.tally,
            "blind": self.lanes.blind,
        }
        return opened | self.view_outputs | self.lane_outputs | self.form_outputs | self.suggestion_outputs | more

    @property
    def view_inputs(self) -> Outputs:
        """Return the inputs of handlers that render the conversation."""
        return {"chat_id": self.states.chat_id, "show": self.lanes.show}

    @property
    def answer_inputs(self) -> Outputs:
        """Return the inputs of handlers that generate an answer: those of the view, and the settings form."""
        return self.view_inputs | {"scope": self.states.form_scope, **self.panels.fields}


def build_chat_widgets() -> ChatWidgets:
    """Build the tab's widgets from top to bottom."""
    states = ChatStates(
        my_chats=build_stored_text(_STORAGE_KEY, "my-chats"),
        chat_id=gr.State(""),
        editing=gr.State(-1),
        form_scope=gr.State(ALL_LANES),
        suggested=gr.State([]),
        suggested_for=gr.State(""),
        reference=gr.State(("", "")),
        rows_source=gr.State(None),
        row_wanted=gr.State(None),
    )
    with gr.Row(elem_id="chat-page"):
        with gr.Column(scale=1, min_width=0, elem_id="chat-main"):
            lanes, conversation = _build_lanes(), _build_conversation()
        with build_drawer("Training rows like this answer", WHY_DRAWER):
            nearest_rows = build_data_table("why", "row-shown")
        with build_drawer("Settings", DRAWER):
            panels = _build_panels(nearest_rows)
    return ChatWidgets(states, lanes, conversation, panels)


def _build_lanes() -> LaneWidgets:
    with gr.Row(elem_id="chat-bar"):
        base = gr.Dropdown(_LOADING_CHOICE, value="", label="Base model", scale=0, min_width=200,
                           elem_id="chat-base")  # fmt: skip
        count = gr.Radio([1, 2, 3, 4], value=_INITIAL_LANES, label="Models", scale=0, min_width=160,
                         elem_id="lane-count")  # fmt: skip
        show = gr.CheckboxGroup(SHOW_OPTIONS, label="Show in the answers", show_label=False, container=False, scale=0,
                                min_width=160, elem_id="show-in-answers")  # fmt: skip
        blind = gr.Checkbox(label="Blind vote", container=False, scale=0, min_width=90, elem_id="blind")
        build_drawer_button("Settings", DRAWER)
    runs, checkpoints = [], []
    with gr.Row(elem_id="lane-choices"):
        for lane in range(MAX_LANES):
            with gr.Column(min_width=120):
                runs.append(gr.Dropdown(_LOADING_CHOICE, value="", label=f"Model {lane + 1}",
                                        visible=lane < _INITIAL_LANES, elem_id=f"lane-run-{lane + 1}"))  # fmt: skip
                checkpoints.append(gr.Slider(0, 1, step=1, label="Checkpoint", visible=False, buttons=[],
                                             elem_id=f"lane-step-{lane + 1}"))  # fmt: skip
    return LaneWidgets(base, count, runs, checkpoints, blind, show)


def _build_conversation() -> ConversationWidgets:
    with gr.Column(elem_classes="lb-scroll", elem_id="chat-board"):
        invitation, past, now = (
            build_chat_board(f"chat-{name}", is_live=name == "now", value=_LOADING if name == "invite" else "")
            for name in ("invite", "past", "now")
        )
    with gr.Column(elem_id="composer"):
        hint = gr.Markdown("", elem_classes="qs-note", elem_id="chat-hint")
        suggestions = gr.Dataset(components=["text"], samples=[[""]], label="Questions from the held-out rows",
                                 visible=False, type="index", elem_id="questions")  # fmt: skip
        with gr.Row(elem_id="composer-line"):
            prompt = gr.Textbox(label="Prompt", placeholder="Ask all models the same thing", show_label=False,
                                container=False, lines=1, max_lines=6, scale=6, min_width=120, elem_id="prompt",
                                autofocus=False)  # fmt: skip
            # Nothing can be sent before the page has opened its conversation.
            send = gr.Button("Send", variant="primary", interactive=False, scale=0, min_width=88, elem_id="send")
            stop = gr.Button("Stop", variant="stop", visible=False, scale=0, min_width=88, elem_id="chat-stop")
        with gr.Row(elem_id="chat-acts"):
            retry = gr.Button("Retry", size="sm", scale=0, min_width=60, elem_id="retry-all")
            undo = gr.Button("Undo", size="sm", scale=0, min_width=60, elem_id="undo")
            new_chat = gr.Button("New chat", size="sm", scale=0, min_width=80, elem_id="clear")
            more = gr.Button("Suggest others", size="sm", scale=0, min_width=110, elem_id="more-questions")
            gr.HTML(render("chat/keys"), js_on_load=read_static("chat_page.js"), padding=False, elem_id="chat-keys")
    return ConversationWidgets(
        hint, invitation, past, now, prompt, send, stop, suggestions, more, retry, undo, new_chat
    )


def _build_panels(nearest_rows: gr.HTML) -> PanelWidgets:
    earlier = gr.Dropdown(label="Earlier chats in this browser", visible=False, elem_id="earlier-chats")
    branch = gr.Dropdown(label="Branches of this chat", visible=False, elem_id="branches",
                         info="Turns that an edit or an undo replaced.")  # fmt: skip
    with gr.Accordion("Sampling", open=True, elem_id="chat-sampling"):
        scope = gr.Radio([ALL_LANES], value=ALL_LANES, label="Settings for", elem_id="settings-for",
                         info="A model's own settings override those of all models.")  # fmt: skip
        texts = build_fields("chat", Sampling, ["system", "stop"])
        with gr.Row(elem_id="chat-numbers", elem_classes="qs-even"):
            fields = (
                build_fields("chat", Sampling, [name for name in Sampling.model_fields if name not in texts]) | texts
            )
        fields = {name: fields[name] for name in Sampling.model_fields}
    with gr.Accordion("Votes", open=False, elem_id="votes-part"):
        tally = gr.HTML(elem_id="tally", padding=False)
        preferences = build_download("Export as preference data", "export-votes")
    with gr.Accordion("Export, prompts, memory", open=False, elem_id="export-part"):
        jsonl = build_download("Export this chat as JSONL", "chat-jsonl")
        markdown = build_download("Export this chat as Markdown", "chat-markdown")
        show_prompts = gr.Button("Show rendered prompts", size="sm", elem_id="read-prompts")
        unload = gr.Button("Unload model", size="sm", elem_id="unload")
        prompts = gr.HTML(elem_id="prompts-read", padding=False)
    return PanelWidgets(
        earlier, branch, scope, fields, nearest_rows, tally, preferences, jsonl, markdown, show_prompts, prompts,
        unload,
    )  # fmt: skip
