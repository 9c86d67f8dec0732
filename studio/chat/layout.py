"""The widgets of the Chat tab, in their places."""

from dataclasses import dataclass

import gradio as gr

from components.chat_board import build_lane_board
from components.data_table import build_data_table
from components.download import Download, build_download
from components.model_form import build_fields
from core.chat.conversation import MAX_LANES
from core.chat.sampling import Sampling
from studio.chat.chat_html import SHOWN
from studio.chat.model_picker import ALL, NO_RUN


@dataclass(frozen=True)
class LaneWidgets:
    """Who answers: a base, how many lanes, and for each lane its run and checkpoint."""

    base: gr.Dropdown
    count: gr.Radio
    runs: list[gr.Dropdown]
    steps: list[gr.Slider]
    blind: gr.Checkbox

    def drawn(self, scope: gr.Radio) -> list[gr.components.Component]:
        """What `Choosing.shown` gives values for."""
        pairs = [widget for pair in zip(self.runs, self.steps, strict=True) for widget in pair]
        return [self.base, self.count, *pairs, scope]


@dataclass(frozen=True)
class TalkWidgets:
    hint: gr.Markdown
    invite: gr.HTML
    past: gr.HTML
    now: gr.HTML
    prompt: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    undo: gr.Button
    new: gr.Button
    earlier: gr.Dropdown
    branch: gr.Dropdown
    show: gr.CheckboxGroup
    questions: gr.Dataset
    more: gr.Button

    def view(self, editing: gr.State) -> list[gr.components.Component]:
        """What `View.values` gives values for."""
        return [self.past, self.now, self.prompt, self.hint, self.stop, editing, self.send, self.retry, self.undo]

    def offered(self, questions: gr.State) -> list[gr.components.Component]:
        """What `Beside.questions` gives values for."""
        return [self.questions, questions, self.invite]


@dataclass(frozen=True)
class BesideWidgets:
    scope: gr.Radio
    fields: dict[str, gr.components.Component]
    why_part: gr.Accordion
    why: gr.HTML
    tally: gr.HTML
    preferences: Download
    jsonl: Download
    markdown: Download
    read: gr.Button
    read_shown: gr.HTML
    unload: gr.Button


def build_lanes() -> LaneWidgets:
    with gr.Row():
        base = gr.Dropdown(label="Base model", scale=3, min_width=220, elem_id="chat-base",
                           info="All lanes share one copy of its weights.")  # fmt: skip
        count = gr.Radio([1, 2, 3, 4], value=2, label="Lanes", scale=2, min_width=200, elem_id="lane-count",
                         info="Answers side by side.")  # fmt: skip
        blind = gr.Checkbox(label="Blind", scale=1, min_width=130, elem_id="blind",
                            info="Names are hidden and sides shuffled until you vote.")  # fmt: skip
    runs, steps = [], []
    with gr.Row(elem_id="lane-choices"):
        for at in range(MAX_LANES):
            with gr.Column(min_width=200):
                runs.append(gr.Dropdown([("The base", "")], value="", label=f"Lane {at + 1}", visible=at < 2,
                                        elem_id=f"lane-run-{at + 1}"))  # fmt: skip
                steps.append(gr.Slider(0, 1, step=1, label="Checkpoint", visible=False, buttons=[],
                                       elem_id=f"lane-step-{at + 1}"))  # fmt: skip
    return LaneWidgets(base, count, runs, steps, blind)


def build_talk() -> TalkWidgets:
    hint = gr.Markdown(NO_RUN, elem_classes="qs-note", elem_id="chat-hint")
    with gr.Column(elem_classes="lb-scroll", elem_id="chat-board"):
        invite, past, now = (build_lane_board(f"chat-{part}") for part in ("invite", "past", "now"))
    with gr.Row():
        prompt = gr.Textbox(label="Prompt", placeholder="Ask all lanes the same thing", show_label=False,
                            container=False, lines=1, max_lines=6, scale=6, min_width=240, elem_id="prompt",
                            autofocus=False)  # fmt: skip
        send = gr.Button("Send", variant="primary", scale=1, min_width=80, elem_id="send")
        stop = gr.Button("Stop all", variant="stop", interactive=False, scale=1, min_width=80, elem_id="chat-stop")
    questions = gr.Dataset(components=["text"], samples=[[""]], label="Questions from the held-out rows",
                           visible=False, type="index", elem_id="questions")  # fmt: skip
    with gr.Row(elem_id="chat-acts"):
        more = gr.Button("Other questions", size="sm", scale=0, min_width=140, elem_id="more-questions")
        retry = gr.Button("Retry all", size="sm", scale=0, min_width=110, elem_id="retry-all")
        undo = gr.Button("Undo", size="sm", scale=0, min_width=110, elem_id="undo")
        new = gr.Button("New chat", size="sm", scale=0, min_width=110, elem_id="clear")
    with gr.Row():
        show = gr.CheckboxGroup(SHOWN, label="Show in the answers", scale=2, min_width=240, elem_id="show-in-answers",
                                info="Differences from the first answer, or how sure the model was of each token.",
                                )  # fmt: skip
        earlier = gr.Dropdown(label="Earlier chats in this browser", visible=False, scale=2, min_width=200,
                              elem_id="earlier-chats")  # fmt: skip
        branch = gr.Dropdown(label="Branches of this chat", visible=False, scale=2, min_width=200, elem_id="branches",
                             info="What an edit or an undo left behind.")  # fmt: skip
    return TalkWidgets(
        hint, invite, past, now, prompt, send, stop, retry, undo, new, earlier, branch, show, questions, more
    )  # fmt: skip


def build_beside() -> BesideWidgets:
    with gr.Accordion("Settings", open=False, elem_id="chat-settings"):
        scope = gr.Radio([ALL], value=ALL, label="Settings for", elem_id="settings-for",
                         info="A lane's own settings go before those of all lanes.")  # fmt: skip
        system = build_fields(Sampling, ["system"])
        with gr.Row(elem_id="chat-numbers", elem_classes="qs-even"):
            fields = build_fields(Sampling, [name for name in Sampling.model_fields if name != "system"]) | system
        fields = {name: fields[name] for name in Sampling.model_fields}
    with gr.Accordion("Why did it say that?", open=False, elem_id="why-part") as why_part:
        why = build_data_table("why", "row-shown")
    with gr.Accordion("Votes", open=False, elem_id="votes-part"):
        tally = gr.HTML(elem_id="tally", padding=False)
        preferences = build_download("Export as preference data", "export-votes")
    with gr.Accordion("Export, prompts, memory", open=False, elem_id="export-part"):
        with gr.Row():
            jsonl = build_download("This chat as JSONL", "chat-jsonl")
            markdown = build_download("This chat as Markdown", "chat-markdown")
            read = gr.Button("Show what the models read", size="sm", elem_id="read-prompts")
            unload = gr.Button("Unload the model", size="sm", elem_id="unload")
        read_shown = gr.HTML(elem_id="prompts-read", padding=False)
    return BesideWidgets(scope, fields, why_part, why, tally, preferences, jsonl, markdown, read, read_shown, unload)
