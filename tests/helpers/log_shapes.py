"""Rows of logs of models, of tools that judge answers, and of annotation tools, with the expected result."""

import json

from tests.helpers.shapes import ANSWER, ASK, LONG, PAIR, Shape
from tests.helpers.shapes import numbered as _n
from tests.helpers.shapes import rows_of_shape as _rows

BRIEF = "Be brief."
ASKED = [("system", BRIEF), ("user", ASK)]
OPTIONS = ["The wind.", "The sun.", "The moon.", "A whale."]
CHOSEN = [("user", f"{ASK}\n\nA. The wind.\nB. The sun.\nC. The moon.\nD. A whale."), ("assistant", "The moon.")]
ITEMS = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Physics."}]},
         {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]}]  # fmt: skip
TAGS = ["O", "O", "B-THING", "O"]
SPANS = [{"start": 8, "end": 12, "label": "THING"}]
HTML = f"<p>{ANSWER}</p>"

LOG_SHAPES: tuple[Shape, ...] = (
    Shape("A log of OpenAI's Responses API",
          _rows(lambda i: {"id": f"resp_{i}", "instructions": BRIEF,
                           "input": [{"role": "user", "content": [{"type": "input_text", "text": _n(ASK, i)}]}],
                           "output": ITEMS}),
          "prompt_completion", [*ASKED, ("assistant", f"<think>\nPhysics.\n</think>\n\n{ANSWER}")], ("id",)),
    Shape("A log of OpenAI's Responses API with calls of tools",
          _rows(lambda i: {"input": [{"role": "user", "content": _n(ASK, i)},
                                     {"type": "function_call", "name": "look", "arguments": "{}"},
                                     {"type": "function_call_output", "output": "High."}], "output": ITEMS[1:]}),
          "prompt_completion",
          [("user", ASK), ("assistant", '[{"name": "look", "arguments": "{}"}]'), ("tool", "High."), PAIR[1]]),
    Shape("A log of Anthropic's messages",
          _rows(lambda i: {"request": {"model": "m", "system": BRIEF, "messages": [{"role": "user",
                                                                                    "content": _n(ASK, i)}]},
                           "response": {"type": "message", "role": "assistant", "content": [
                               {"type": "text", "text": ANSWER}, {"type": "text", "text": "That is all."}],
                               "stop_reason": "end_turn"}}),
          "prompt_completion", [*ASKED, ("assistant", f"{ANSWER}\n\nThat is all.")],
          notes=("the field 'model' of the conversation is not used", "the field 'stop_reason' of a turn is not used")),
    Shape("A log of Gemini's answers",
          _rows(lambda i: {"request": {"contents": [{"role": "user", "parts": [{"text": _n(ASK, i)}]}],
                                       "systemInstruction": {"parts": [{"text": BRIEF}]}},
                           "response": {"candidates": [{"content": {"role": "model", "parts": [{"text": ANSWER}]},
                                                        "finishReason": "STOP"}],
                                        "usageMetadata": {"totalTokenCount": 9}}}),
          "prompt_completion", [*ASKED, PAIR[1]], notes=("candidates[0].content is used",)),
    Shape("A log with an answer that was cut",
          _rows(lambda i: {"request": {"messages": [{"role": "user", "content": _n(ASK, i)}]}, "response": {
              "choices": [{"message": {"content": ANSWER}, "finish_reason": ("stop", "length")[i == 3]}]}}),
          "undecided", asks=("holds answers that were cut or refused ('length')",)),
    Shape("A log with feedback",
          _rows(lambda i: {"prompt": _n(ASK, i), "response": ANSWER, "feedback_rating": [True, None, False][i % 3]}),
          "undecided", asks=("'feedback_rating' may say which answers are good",)),
    Shape("A log with the scores of Langfuse",
          _rows(lambda i: {"input": _n(ASK, i), "output": ANSWER,
                           "scores": json.dumps([{"name": "helpful", "value": i % 2}])}),
          "undecided", asks=("'scores.helpful' may rate the answers, from 0 to 1",)),
    Shape("nvidia/HelpSteer3",
          _rows(lambda i: {"context": [{"role": "user", "content": _n(ASK, i)}], "response1": _n(ANSWER, i),
                           "response2": _n(LONG, i), "overall_preference": (-2, 3)[i % 2]}),
          "undecided", asks=("the better answer where it is below zero",)),
    Shape("Generations of distilabel with ratings",
          _rows(lambda i: {"instruction": _n(ASK, i), "generations": [LONG, ANSWER], "ratings": [2.5, 4.0]}),
          "undecided", asks=("choose the reading that uses it",)),
    Shape("A test set of Ragas",
          _rows(lambda i: {"user_input": _n(ASK, i), "reference_contexts": str([LONG, ANSWER]),
                           "reference": _n(ANSWER, i)}),
          "undecided", asks=("'reference' may be the answer to the texts in 'user_input'",)),
    Shape("A translation of Weblate",
          _rows(lambda i: {"source": _n(ASK, i), "target": _n(LONG, i), "context": ("menu", "page")[i % 2]}, 8),
          "undecided", asks=("'context' holds a few words, such as 'menu', which may not belong to the question",)),
    Shape("An export of a translation memory",
          _rows(lambda i: {"Source (de-DE)": _n("Warum wendet sich die Flut?", i), "Target (en-GB)": _n(ASK, i)}),
          "undecided", asks=("translations of each other",)),
    Shape("A quiz of Kahoot",
          _rows(lambda i: {"Question - max 120 characters": _n(ASK, i),
                           **{f"Answer {k + 1} - max 75 characters": text for k, text in enumerate(OPTIONS)},
                           "Correct answer(s) - choose at least one": ("3", "4")[i % 2]}),
          "multiple_choice", CHOSEN, notes=("counted from 1",)),
    Shape("A quiz of Moodle as JSON",
          _rows(lambda i: {"questiontext": _n(ASK, i), "answer": [
              {"@fraction": ("0", "100")[text == OPTIONS[2]], "text": text} for text in OPTIONS]}),
          "undecided", asks=("'answer' may be the choices of a question, of which a flag names the right one",)),
    Shape("Tickets of Freshdesk",
          _rows(lambda i: {"id": i, "description_text": _n(ASK, i), "description": f"<p>{_n(ASK, i)}</p>",
                           "conversations": [{"body": HTML, "body_text": ANSWER, "incoming": False}]}),
          "undecided", asks=("'conversations' may be the messages after another one",)),
    Shape("Threads of a mailbox",
          _rows(lambda i: {"thread": i, "messages": [
              {"from": {"name": "Ann"}, "body_plain": _n(ASK, i), "body_html": f"<b>{_n(ASK, i)}</b>",
               "is_inbound": True},
              {"from": {"name": "Bob"}, "body_plain": ANSWER, "body_html": HTML, "is_inbound": False}]}),
          "sharegpt", PAIR, ("thread",), ("the field 'body_html' of a turn is not used",)),
    Shape("eriktks/conll2003",
          _rows(lambda i: {"id": str(i), "tokens": ["Why", "the", "tide", "turns"], "ner_tags": [0, 0, 7, 0]}),
          "undecided", asks=("'ner_tags' holds a tag for each word of 'tokens'",)),
    Shape("Spans of an annotation tool",
          _rows(lambda i: {"text": _n(ASK, i), "entities": SPANS}),
          "undecided", asks=("'entities' marks parts of a text",)),
    Shape("Switchboard, one utterance per row",
          _rows(lambda i: {"conversation_no": 4000 + i // 3, "utterance_index": i % 3, "caller": "AB"[i % 2],
                           "text": _n(ASK, i)}),
          "undecided", asks=("Each row is one message ('text')",)),
    Shape("Intents with the numbers of their classes",
          _rows(lambda i: {"text": _n(ASK, i), "category_id": i % 2}),
          "undecided", asks=("'category_id' may",)),
    Shape("A chat in numbered columns",
          _rows(lambda i: {"user_1": _n(ASK, i), "bot_1": ANSWER, "user_2": _n(LONG, i), "bot_2": "Yes."}),
          "undecided", asks=("'user_1', 'bot_1' and those that follow may be turns of one conversation",)),
)  # fmt: skip
