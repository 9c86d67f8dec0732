"""One conversation of a question and its answer as a row of each format with turns."""

from tests.helpers.datasets import dialog

TURNS = dialog("What is a tide?", "The sea, breathing.")
USER, ANSWER = TURNS
ROWS = {
    "messages": {"messages": TURNS},
    "sharegpt": {
        "conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": ANSWER["content"]}]
    },
    "alpaca": {"instruction": USER["content"], "input": "", "output": ANSWER["content"]},
    "prompt_completion": {"question": USER["content"], "answer": ANSWER["content"]},
    "guanaco": {"text": f"### Human: {USER['content']}### Assistant: {ANSWER['content']}"},
    "llama2": {"text": f"<s>[INST] {USER['content']} [/INST] {ANSWER['content']} </s>"},
}
