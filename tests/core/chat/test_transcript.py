"""Exports of a conversation: every attempt as a JSON line, the shown answers as inert Markdown."""

import json
import re

import pytest
from markdown_it import MarkdownIt

from core.chat.conversation import Conversation, LaneChoice
from core.chat.transcript import as_jsonl, as_markdown
from core.chat.types import GenerationResult
from tests.helpers.hostile_text import COLUMN, HOSTILE


def conversation():
    chat = Conversation(id="a", base="tiny", lanes=[LaneChoice(), LaneChoice(run="r")])
    turn = chat.ask("Hi? <b>", reference="Ho.")
    turn.answers[0].append(GenerationResult(text="A.", tokens=2, end="end", settings={"seed": 1}))
    turn.answers[1] += [
        GenerationResult(text="B.", run="r", adapter="final"),
        GenerationResult(text="C.\n```\n# x", run="r", adapter="final"),
    ]
    turn.verdict = "left"
    chat.ask("And?")
    return chat


def test_transcript_jsonl_has_one_line_per_try():
    lines = [json.loads(line) for line in as_jsonl(conversation()).splitlines()]
    assert [(line["lane"], line["try"], line["model"]) for line in lines] == [
        (1, 1, "base"), (2, 1, "r/final"), (2, 2, "r/final"),
    ]  # fmt: skip
    assert lines[0]["messages"] == [{"role": "user", "content": "Hi? <b>"}, {"role": "assistant", "content": "A."}]
    assert (lines[0]["reference"], lines[0]["verdict"], lines[0]["settings"], lines[0]["end"]) == (
        "Ho.", "left", {"seed": 1}, "end",
    )  # fmt: skip


def test_transcript_markdown_shows_answers_as_inert_text():
    markdown = as_markdown(conversation())
    for part in ("# Hi?", "## Question 1", "### Reference", "### base", "### r/final", "## Question 2"):
        assert part in markdown
    assert "B." not in markdown, "only the attempt that is shown"
    fence = markdown[markdown.index("### r/final") :].split("\n")[2]
    assert fence.startswith("````"), "an answer's own fence does not end it"


@pytest.mark.parametrize("text", [COLUMN, *HOSTILE])
def test_transcript_markdown_has_no_markup_of_questions_answers_and_names(text):
    chat = Conversation(id="a", base=text, lanes=[LaneChoice(), LaneChoice(run="r")])
    turn = chat.ask(text, reference=text)
    turn.answers[0].append(GenerationResult(text=text, run=text, adapter=text))
    shown = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(as_markdown(chat))
    assert set(re.findall(r"<(\w+)", shown)) <= {"h1", "h2", "h3", "p", "pre", "code"}
