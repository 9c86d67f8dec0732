"""Columns of multiple-choice datasets, and of exports of helpdesks, forums, logs and annotation tools.

They are a part of the table in `tests/helpers/public_shapes.py`.
"""

import json

from tests.helpers.shapes import (
    ANSWER,
    ASK,
    LONG,
    PAIR,
    Shape,
    Turns,
)
from tests.helpers.shapes import (
    dialog_turns as _turns,
)
from tests.helpers.shapes import (
    numbered as _n,
)
from tests.helpers.shapes import (
    rows_of_shape as _rows,
)

CALL = {"type": "function", "function": {"name": "tide", "arguments": '{"port": "Bergen"}'}}
OPTIONS = ["The wind", "The sun", "The moon", "The ships"]
CHOSEN: Turns = [
    ("user", f"{ASK}\n\nA. The wind\nB. The sun\nC. The moon\nD. The ships"),
    ("assistant", "The moon"),
]

EXPORT_SHAPES: tuple[Shape, ...] = (
    Shape("GBaker/MedQA-USMLE-4-options",
          _rows(lambda i: {"question": _n(ASK, i), "answer": "The moon", "options": {"A": "The moon", "B": "The wind"},
                           "answer_idx": "A"}),
          "multiple_choice", [("user", f"{ASK}\n\nA. The moon\nB. The wind"), ("assistant", "The moon")],
          ("answer_idx",)),
    Shape("cais/mmlu",
          _rows(lambda i: {"question": _n(ASK, i), "subject": "astronomy", "choices": OPTIONS,
                           "answer": (2, 0, 1, 3)[i % 4]}),
          "multiple_choice", CHOSEN, ("subject",), ("counted from 0",)),
    Shape("TIGER-Lab/MMLU-Pro",
          _rows(lambda i: {"question_id": i, "question": _n(ASK, i), "options": OPTIONS, "answer": "CABD"[i % 4],
                           "answer_index": (2, 0, 1, 3)[i % 4], "category": "physics"}),
          "multiple_choice", CHOSEN, ("question_id", "answer_index", "category")),
    Shape("allenai/ai2_arc",
          _rows(lambda i: {"id": f"Mercury_{i}", "question": _n(ASK, i),
                           "choices": {"text": OPTIONS, "label": list("ABCD")}, "answerKey": "CABD"[i % 4]}),
          "multiple_choice", CHOSEN, ("id",)),
    Shape("Rowan/hellaswag",
          _rows(lambda i: {"ind": i, "activity_label": "Sailing", "ctx_a": ASK, "ctx_b": "", "ctx": _n(ASK, i),
                           "endings": OPTIONS, "label": "2013"[i % 4]}),
          "multiple_choice", CHOSEN, ("ind", "activity_label", "ctx_a"), ("counted from 0",)),
    Shape("ceval/ceval-exam",
          _rows(lambda i: {"id": i, "question": _n(ASK, i), **dict(zip("ABCD", OPTIONS, strict=True)),
                           "answer": "CABD"[i % 4], "explanation": ""}),
          "multiple_choice", CHOSEN, ("id",)),
    Shape("openlifescienceai/medmcqa",
          _rows(lambda i: {"id": f"{i:032x}", "question": _n(ASK, i), "opa": OPTIONS[0], "opb": OPTIONS[1],
                           "opc": OPTIONS[2], "opd": OPTIONS[3], "cop": (2, 0, 1, 3)[i % 4], "exp": None}),
          "multiple_choice", CHOSEN, ("id",), ("counted from 0",)),
    Shape("A quiz with numbers that count from 0 or from 1",
          _rows(lambda i: {"question": _n(ASK, i), "choices": OPTIONS, "answer": 1 + i % 3}),
          "undecided", asks=("count the choices in 'choices' from 0 or from 1",)),
    Shape("nvidia/HelpSteer2",
          _rows(lambda i: {"prompt": _n(ASK, i), "response": ANSWER, "helpfulness": i % 5, "correctness": 4 - i % 5,
                           "coherence": 4, "complexity": 1, "verbosity": 2}),
          "undecided", asks=("'helpfulness', 'correctness' may rate the answers, from 0 to 4",)),
    Shape("A Zendesk export of tickets",
          _rows(lambda i: {"id": i, "subject": _n("The printer", i), "description": ASK, "comments": [
              {"author": {"role": "end-user"}, "body": ASK, "public": True},
              {"author": {"role": "agent"}, "body": ANSWER, "public": True}]}),
          "undecided", asks=("they may be end-user = user, agent = assistant",)),
    Shape("Reddit posts with trees of comments",
          _rows(lambda i: {"title": _n(ASK, i), "selftext": _n(LONG, i), "comments": [
              {"body": "No idea.", "score": 1, "replies": []}, {"body": ANSWER, "score": 9, "replies": []}]}),
          "undecided", asks=("'title' and 'selftext' may be the question and 'comments' the answer",)),
    Shape("A LangSmith export with messages",
          _rows(lambda i: {"inputs": json.dumps({"messages": _turns(_n(ASK, i))}),
                           "outputs": json.dumps({"messages": [{"role": "assistant", "content": ANSWER}]})}),
          "prompt_completion", PAIR),
    Shape("A LangSmith export with fields",
          _rows(lambda i: {"inputs": json.dumps({"input": _n(ASK, i)}), "outputs": json.dumps({"output": ANSWER})}),
          "undecided", asks=("a reading with the field 'input' is offered",)),
    Shape("An Argilla export",
          _rows(lambda i: {"prompt": _n(ASK, i), "response": [{"value": "Not yet.", "status": "draft"},
                                                              {"value": ANSWER, "status": "submitted"}]}),
          "undecided", asks=("[1].value would be used",)),
    Shape("Customer Support on Twitter",
          _rows(lambda i: {"tweet_id": 2 * i, "author_id": f"{i}x", "inbound": True, "text": _n(ASK, i),
                           "response_tweet_id": 2 * i - 2, "in_response_to_tweet_id": None}),
          "undecided", asks=("'response_tweet_id' names the 'tweet_id' of another row",)),
    Shape("A log of requests with tool calls",
          _rows(lambda i: {"request": {"messages": [{"role": "user", "content": _n(ASK, i)}], "tools": [CALL]},
                           "response": {"choices": [{"message": {"role": "assistant", "content": None,
                                                                 "tool_calls": [CALL, CALL]}}]}}),
          "undecided", asks=("choices[0].message would be used",)),
    Shape("Questions and answers in two languages",
          _rows(lambda i: {"question": {"en": _n(ASK, i), "de": f"Warum {i}?"},
                           "answer": {"en": _n(ANSWER, i), "de": f"Darum {i}."}}),
          "undecided", asks=("objects with the fields 'en', 'de'",)),
    Shape("Turns with their number, in another order",
          _rows(lambda i: {"turns": [{"turn": 2, "role": "assistant", "content": ANSWER},
                                     {"turn": 1, "role": "user", "content": _n(ASK, i)}]}),
          "messages", PAIR, notes=("sorted by their field 'turn'",)),
    Shape("Turns as lists, stored by datasets",
          _rows(lambda i: {"messages": {"role": ["user", "assistant"], "content": [_n(ASK, i), ANSWER]}}),
          "messages", PAIR),
)  # fmt: skip
