"""A conversation as files: every try as a JSON line, the shown answers as Markdown that stays inert."""

import json

from core.chat.conversation import Conversation, LaneChoice
from core.chat.transcript import as_jsonl, as_markdown
from core.chat.types import GenerationResult


def talked():
    kept = Conversation(id="a", base="tiny", lanes=[LaneChoice(), LaneChoice(run="r")])
    turn = kept.ask("Hi? <b>", reference="Ho.")
    turn.answers[0].append(GenerationResult(text="A.", tokens=2, end="end", settings={"seed": 1}))
    turn.answers[1] += [
        GenerationResult(text="B.", run="r", adapter="final"),
        GenerationResult(text="C.\n```\n# x", run="r", adapter="final"),
    ]
    turn.verdict = "left"
    kept.ask("And?")
    return kept


def test_every_try_is_a_line_with_the_messages_up_to_it():
    lines = [json.loads(line) for line in as_jsonl(talked()).splitlines()]
    assert [(line["lane"], line["try"], line["model"]) for line in lines] == [
        (1, 1, "base"), (2, 1, "r/final"), (2, 2, "r/final"),
    ]  # fmt: skip
    assert lines[0]["messages"] == [{"role": "user", "content": "Hi? <b>"}, {"role": "assistant", "content": "A."}]
    assert (lines[0]["reference"], lines[0]["verdict"], lines[0]["settings"], lines[0]["end"]) == (
        "Ho.", "left", {"seed": 1}, "end",
    )  # fmt: skip


def test_the_page_to_read_shows_questions_answers_and_no_markup_of_theirs():
    told = as_markdown(talked())
    for part in ("# Hi?", "## Question 1", "### Reference", "### base", "### r/final", "## Question 2"):
        assert part in told
    assert "B." not in told, "only the try that is shown"
    fence = told[told.index("### r/final") :].split("\n")[2]
    assert fence.startswith("````"), "an answer's own fence does not end it"
