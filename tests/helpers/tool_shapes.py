"""Columns of public datasets with calls of tools, reasoning and pictures.

They are a part of the table in `tests/helpers/public_shapes.py`.
"""

import json

from tests.helpers.shapes import (
    ANSWER,
    ASK,
    PAIR,
    Shape,
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
from tests.helpers.shapes import (
    shared_turns as _shared,
)

TOOL = {"name": "tide", "description": "Time of the tide", "parameters": {"port": {"type": "str"}}}
CALLS = json.dumps([{"name": "tide", "arguments": {"port": "Bergen"}}])
LISTED = f"You are a function calling AI model. <tools>{json.dumps([TOOL])}</tools>"
THOUGHT = f"<think>\nThe moon pulls.\n</think>\n\n{ANSWER}"

TOOL_SHAPES: tuple[Shape, ...] = (
    Shape("Salesforce/xlam-function-calling-60k",
          _rows(lambda i: {"id": i, "query": _n(ASK, i), "answers": CALLS, "tools": json.dumps([TOOL])}),
          "prompt_completion",
          [("system", f"You may call these tools:\n{json.dumps([TOOL])}"), ("user", ASK), ("assistant", CALLS)],
          ("id",)),
    Shape("NousResearch/hermes-function-calling-v1",
          _rows(lambda i: {"id": f"{i:032x}",
                           "conversations": [{"from": "system", "value": LISTED}, *_shared(ASK, ANSWER)],
                           "tools": json.dumps([{"type": "function", "function": TOOL}]), "category": "Ports",
                           "subcategory": "Tides", "task": "Ask"}),
          "sharegpt", [("system", LISTED), *PAIR], ("id", "category", "subcategory", "task"), ("names all tools",)),
    Shape("Team-ACE/ToolACE",
          _rows(lambda i: {"system": LISTED,
                           "conversations": [{"from": "user", "value": _n(ASK, i)},
                                             {"from": "assistant", "value": "[tide(port='Bergen')]"},
                                             {"from": "tool", "value": "[6]"},
                                             {"from": "assistant", "value": ANSWER}]}),
          "sharegpt",
          [("system", LISTED), ("user", ASK), ("assistant", "[tide(port='Bergen')]"), ("tool", "[6]"), PAIR[1]]),
    Shape("CohereLabs/aya_dataset",
          _rows(lambda i: {"inputs": _n(ASK, i), "targets": ANSWER, "language": "German", "language_code": "deu",
                           "annotation_type": "original-annotations", "user_id": f"{i:064x}"}),
          "prompt_completion", PAIR, ("language", "language_code", "annotation_type", "user_id")),
    Shape("open-r1/OpenR1-Math-220k",
          _rows(lambda i: {"problem": _n(ASK, i), "solution": f"{ANSWER} That follows from the orbit.", "answer": "6",
                           "uuid": f"u{i}", "generations": ["<think>\nNo.\n</think>\n\nAt noon.", THOUGHT],
                           "correctness_math_verify": [False, True], "messages": _turns(_n(ASK, i), THOUGHT)}),
          "undecided", asks=("'solution'",)),
    Shape("HuggingFaceTB/smoltalk2",
          _rows(lambda i: {"messages": _turns(_n(ASK, i), THOUGHT), "source": "tides",
                           "chat_template_kwargs": {"custom_instructions": "", "enable_thinking": True}}),
          "messages", [PAIR[0], ("assistant", THOUGHT)], ("chat_template_kwargs", "source")),
    Shape("liuhaotian/LLaVA-Instruct-150K",
          _rows(lambda i: {"id": f"{i:012d}", "image": f"{i:012d}.jpg",
                           "conversations": _shared(f"<image>\n{_n(ASK, i)}", ANSWER)}),
          "undecided", asks=("pictures",)),
)  # fmt: skip
