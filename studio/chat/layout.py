"""The widgets of the Chat tab, and the names that event handlers use for them as outputs."""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from components.browser_storage import StoredText, build_stored_text
from components.chat_board import build_chat_board
from components.data_table import build_data_table
from components.download import Download, build_download
from components.model_form import build_fields
from core.chat.sampling import Sampling
from core.chat.turns import MAX_LANES
from studio.chat.chat_html import SHOW_OPTIONS
from studio.chat.model_picker import ALL_LANES, NO_RUN

_STORAGE_KEY = "qlora-studio-chats"
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
        reference: The suggestion in the prompt box, as question and reference answer.
        rows_source: The dataset of the training rows that are shown.
        row_wanted: The row among them that was clicked.
    """

    my_chats: StoredText
    chat_id: gr.State
    editing: gr.State
    form_scope: gr.State
    suggested: gr.State
    reference: gr.State
    rows_source: gr.State
    row_wanted: gr.State


@dataclass(frozen=True)
class LaneWidgets:
    """Widgets that choose who answers: a base, the number of lanes, and each lane's run and checkpoint."""

    base: gr.Dropdown
    count: gr.Radio
    runs: list[gr.Dropdown]
    checkpoints: list[gr.Slider]
    blind: gr.Checkbox


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
    show: gr.CheckboxGroup
    earlier: gr.Dropdown
    branch: gr.Dropdown


@dataclass(frozen=True)
class PanelWidgets:
    """The panels below a conversation: settings, training rows, votes, files."""

    scope: gr.Radio
    fields: dict[str, gr.components.Component]
    why_panel: gr.Accordion
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
            "invitation": self.conversation.invitation,
        }

    @property
    def view_inputs(self) -> Outputs:
        """Return the inputs of handlers that render the conversation."""
        return {"chat_id": self.states.chat_id, "show": self.conversation.show}

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
        reference=gr.State(("", "")),
        rows_source=gr.State(None),
        row_wanted=gr.State(None),
    )
    return ChatWidgets(states, _build_lanes(), _build_conversation(), _build_panels())


def _build_lanes() -> LaneWidgets:
    with gr.Row():
        base = gr.Dropdown(label="Base model", scale=3, min_width=220, elem_id="chat-base",
                           info="All lanes share one copy of its weights.")  # fmt: skip
        count = gr.Radio([1, 2, 3, 4], value=_INITIAL_LANES, label="Lanes", scale=2, min_width=200,
                         elem_id="lane-count", info="Answers side by side.")  # fmt: skip
        blind = gr.Checkbox(label="Blind", scale=1, min_width=130, elem_id="blind",
                            info="Hide names and shuffle sides until you vote.")  # fmt: skip
    runs, checkpoints = [], []
    with gr.Row(elem_id="lane-choices"):
        for lane in range(MAX_LANES):
            with gr.Column(min_width=200):
                runs.append(gr.Dropdown([("The base", "")], value="", label=f"Lane {lane + 1}",
                                        visible=lane < _INITIAL_LANES, elem_id=f"lane-run-{lane + 1}"))  # fmt: skip
                checkpoints.append(gr.Slider(0, 1, step=1, label="Checkpoint", visible=False, buttons=[],
                                             elem_id=f"lane-step-{lane + 1}"))  # fmt: skip
    return LaneWidgets(base, count, runs, checkpoints, blind)


def _build_conversation() -> ConversationWidgets:
    hint = gr.Markdown(NO_RUN, elem_classes="qs-note", elem_id="chat-hint")
    with gr.Column(elem_classes="lb-scroll", elem_id="chat-board"):
        invitation, past, now = (
            build_chat_board(f"chat-{name}", is_live=name == "now") for name in ("invite", "past", "now")
        )
    with gr.Row():
        prompt = gr.Textbox(label="Prompt", placeholder="Ask all lanes the same thing", show_label=False,
                            container=False, lines=1, max_lines=6, scale=6, min_width=240, elem_id="prompt",
                            autofocus=False)  # fmt: skip
        send = gr.Button("Send", variant="primary", scale=1, min_width=80, elem_id="send")
        stop = gr.Button("Stop all", variant="stop", interactive=False, scale=1, min_width=80, elem_id="chat-stop")
    suggestions = gr.Dataset(components=["text"], samples=[[""]], label="Questions from the held-out rows",
                             visible=False, type="index", elem_id="questions")  # fmt: skip
    with gr.Row(elem_id="chat-acts"):
        more = gr.Button("Suggest others", size="sm", scale=0, min_width=140, elem_id="more-questions")
        retry = gr.Button("Retry all", size="sm", scale=0, min_width=110, elem_id="retry-all")
        undo = gr.Button("Undo", size="sm", scale=0, min_width=110, elem_id="undo")
        new_chat = gr.Button("New chat", size="sm", scale=0, min_width=110, elem_id="clear")
    with gr.Row():
        show = gr.CheckboxGroup(SHOW_OPTIONS, label="Show in the answers", scale=2, min_width=240,
                                elem_id="show-in-answers",
                                info="Differences from the first answer, or the probability of each token.",
                                )  # fmt: skip
        earlier = gr.Dropdown(label="Earlier chats in this browser", visible=False, scale=2, min_width=200,
                              elem_id="earlier-chats")  # fmt: skip
        branch = gr.Dropdown(label="Branches of this chat", visible=False, scale=2, min_width=200, elem_id="branches",
                             info="Turns that an edit or an undo replaced.")  # fmt: skip
    return ConversationWidgets(
        hint, invitation, past, now, prompt, send, stop, suggestions, more, retry, undo, new_chat, show, earlier, branch
    )


def _build_panels() -> PanelWidgets:
    with gr.Accordion("Settings", open=False, elem_id="chat-settings"):
        scope = gr.Radio([ALL_LANES], value=ALL_LANES, label="Settings for", elem_id="settings-for",
                         info="A lane's own settings override those of all lanes.")  # fmt: skip
        system = build_fields(Sampling, ["system"])
        with gr.Row(elem_id="chat-numbers", elem_classes="qs-even"):
            fields = build_fields(Sampling, [name for name in Sampling.model_fields if name != "system"]) | system
        fields = {name: fields[name] for name in Sampling.model_fields}
    with gr.Accordion("Why did it say that?", open=False, elem_id="why-part") as why_panel:
        nearest_rows = build_data_table("why", "row-shown")
    with gr.Accordion("Votes", open=False, elem_id="votes-part"):
        tally = gr.HTML(elem_id="tally", padding=False)
        preferences = build_download("Export as preference data", "export-votes")
    with gr.Accordion("Export, prompts, memory", open=False, elem_id="export-part"):
        with gr.Row():
            jsonl = build_download("Export this chat as JSONL", "chat-jsonl")
            markdown = build_download("Export this chat as Markdown", "chat-markdown")
            show_prompts = gr.Button("Show rendered prompts", size="sm", elem_id="read-prompts")
            unload = gr.Button("Unload model", size="sm", elem_id="unload")
        prompts = gr.HTML(elem_id="prompts-read", padding=False)
    return PanelWidgets(
        scope, fields, why_panel, nearest_rows, tally, preferences, jsonl, markdown, show_prompts, prompts, unload
    )
