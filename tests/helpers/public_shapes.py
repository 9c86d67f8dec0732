"""Columns of public datasets, rebuilt in a few rows each from their cards, with the expected result of parsing.

`docs/make_formats.py` writes the list in docs/data-formats.md from this table;
`tests/core/data/formats/test_public_shapes.py` checks each entry.
"""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Turns = list[tuple[str, str]]  # (role, content)


@dataclass(frozen=True)
class Shape:
    """Rows of one public dataset with the expected result.

    Attributes:
        name: The dataset.
        rows: A few rows.
        form: The format that must be detected; "undecided" if the page must ask.
        first: The conversation of the first row, or the reason why that row is unusable.
        unread: Columns that must be reported as unread.
        notes: Parts of the notes on the first row.
        asks: Parts of the question, if the page must ask.
    """

    name: str
    rows: list[Row]
    form: str
    first: Turns | str = ""
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


def _turns(*texts: str) -> list[Row]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def _shared(*texts: str, **more: Any) -> list[Row]:
    return [{"from": ("human", "gpt")[i % 2], "value": text, **more} for i, text in enumerate(texts)]


ASK, ANSWER = "Why does the tide turn?", "The moon pulls at the sea, and the sea follows."
PAIR: Turns = [("user", ASK), ("assistant", ANSWER)]
LONG = "The harbour was quiet that morning, and nobody had yet seen the ship that lay behind the point. "


def _rows(make: Any, count: int = 6) -> list[Row]:
    """Return `make(0)` to `make(count - 1)`, rows that differ only in a number."""
    return [make(i) for i in range(count)]


def _n(text: str, i: int) -> str:
    return text if i == 0 else f"{text} ({i})"


SHAPES: tuple[Shape, ...] = (
    Shape("databricks-dolly-15k",
          _rows(lambda i: {"instruction": _n(ASK, i), "context": "Tides: a text.", "response": ANSWER,
                           "category": ("closed_qa", "open_qa")[i % 2]}),
          "alpaca", [("user", f"{ASK}\n\nTides: a text."), ("assistant", ANSWER)], ("category",)),
    Shape("tatsu-lab/alpaca",
          _rows(lambda i: {"instruction": _n(ASK, i), "input": "", "output": ANSWER,
                           "text": f"Below is an instruction.\n\n### Instruction:\n{ASK}\n\n### Response:\n{ANSWER}"}),
          "alpaca", PAIR, ("text",)),
    Shape("yahma/alpaca-cleaned", [{"instruction": ASK, "input": "In one line.", "output": ANSWER}] * 3,
          "alpaca", [("user", f"{ASK}\n\nIn one line."), ("assistant", ANSWER)]),
    Shape("Open-Orca/OpenOrca",
          _rows(lambda i: {"id": f"flan.{i}", "system_prompt": "You are a sailor.", "question": _n(ASK, i),
                           "response": ANSWER}),
          "prompt_completion", [("system", "You are a sailor."), *PAIR], ("id",)),
    Shape("Open-Orca/SlimOrca",
          [{"conversations": [{"from": "system", "value": "Be brief.", "weight": None},
                              {"from": "human", "value": ASK, "weight": 0.0},
                              {"from": "gpt", "value": ANSWER, "weight": 1.0}]}] * 3,
          "sharegpt", [("system", "Be brief."), *PAIR]),
    Shape("LDJnr/Capybara",
          [{"source": "Know-Logic", "conversation": [{"input": ASK, "output": ANSWER}, {"input": "Always?",
                                                                                     "output": "Always."}]}] * 3,
          "messages", [*PAIR, ("user", "Always?"), ("assistant", "Always.")], ("source",)),
    Shape("HuggingFaceH4/no_robots",
          _rows(lambda i: {"prompt": ASK, "prompt_id": f"{i:064x}", "messages": _turns(_n(ASK, i), ANSWER),
                           "category": "Open QA"}),
          "messages", PAIR, ("prompt", "prompt_id", "category")),
    Shape("stingning/ultrachat", _rows(lambda i: {"id": str(i), "data": [_n(ASK, i), ANSWER]}),
          "messages", PAIR, ("id",)),
    Shape("HuggingFaceH4/ultrachat_200k",
          _rows(lambda i: {"prompt": ASK, "prompt_id": f"{i:064x}", "messages": _turns(_n(ASK, i), ANSWER)}),
          "messages", PAIR, ("prompt", "prompt_id")),
    Shape("OpenAssistant/oasst1 (trees)",
          [{"message_tree_id": "6ab24d72-0181-4594-a9cd-deaf170242fb", "tree_state": "ready_for_export",
            "prompt": {"text": ASK, "role": "prompter", "lang": "en", "replies": [
                {"text": "No idea.", "role": "assistant", "rank": 1, "replies": []},
                {"text": ANSWER, "role": "assistant", "rank": 0, "replies": []}]}}] * 3,
          "tree", PAIR, ("message_tree_id", "tree_state"), ("best-ranked",)),
    Shape("OpenAssistant/oasst2 (messages)",
          _rows(lambda i: {"message_id": f"id-{i}", "parent_id": None if i % 2 == 0 else f"id-{i - 1}",
                           "text": _n(ASK, i), "role": ("prompter", "assistant")[i % 2], "lang": "en",
                           "replies": None}),
          "undecided", asks=("message of a tree",)),
    Shape("timdettmers/openassistant-guanaco", [{"text": f"### Human: {ASK}### Assistant: {ANSWER}"}] * 3,
          "guanaco", PAIR),
    Shape("mlabonne/guanaco-llama2-1k", [{"text": f"<s>[INST] {ASK} [/INST] {ANSWER} </s>"}] * 3, "llama2", PAIR),
    Shape("Anthropic/hh-rlhf",
          _rows(lambda i: {"chosen": f"\n\nHuman: {_n(ASK, i)}\n\nAssistant: {ANSWER}",
                           "rejected": f"\n\nHuman: {_n(ASK, i)}\n\nAssistant: Go away."}),
          "preference", PAIR, notes=("the rejected answer is not trained",)),
    Shape("Intel/orca_dpo_pairs",
          _rows(lambda i: {"system": "Be brief.", "question": _n(ASK, i), "chosen": ANSWER,
                           "rejected": "A far longer answer that nobody wants to read to its end."}),
          "preference", [("system", "Be brief."), *PAIR]),
    Shape("HuggingFaceH4/ultrafeedback_binarized",
          [{"prompt": ASK, "prompt_id": "ab" * 32, "chosen": _turns(ASK, ANSWER), "rejected": _turns(ASK, "No."),
            "messages": _turns(ASK, ANSWER), "score_chosen": 8.0, "score_rejected": 3.0}] * 3,
          "preference", PAIR, ("messages", "prompt_id", "score_chosen", "score_rejected")),
    Shape("trl-lib/kto-mix-14k",
          [{"prompt": _turns(ASK), "completion": [{"role": "assistant", "content": ANSWER}], "label": True},
           {"prompt": _turns(ASK), "completion": [{"role": "assistant", "content": "No."}], "label": False}] * 3,
          "rated", PAIR),
    Shape("KTO with messages", [{"messages": _turns(ASK, "No."), "label": False},
                                {"messages": _turns(ASK, ANSWER), "label": True}] * 3,
          "rated", "labeled as a bad answer"),
    Shape("DPO in ShareGPT form (LLaMA-Factory)",
          [{"conversations": _shared(ASK), "chosen": {"from": "gpt", "value": ANSWER},
            "rejected": {"from": "gpt", "value": "No."}}] * 3,
          "preference", PAIR),
    Shape("OpenAI preference files",
          [{"input": {"messages": _turns(ASK), "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": ANSWER}],
            "non_preferred_output": [{"role": "assistant", "content": "No."}]}] * 3,
          "preference", PAIR, notes=("'parallel_tool_calls'",)),
    Shape("Open-Orca/FLAN",
          _rows(lambda i: {"inputs": _n(ASK, i), "targets": ANSWER, "_template_idx": 3, "_task_name": "tides:1.0"}),
          "prompt_completion", PAIR, ("_template_idx", "_task_name")),
    Shape("bigscience/xP3", [{"inputs": ASK, "targets": ANSWER}] * 3, "prompt_completion", PAIR),
    Shape("Muennighoff/natural-instructions",
          _rows(lambda i: {"task_name": "task001_tides", "id": f"task001-{i:032x}",
                           "definition": "Answer the question.",
                           "inputs": _n(ASK, i), "targets": ANSWER}),
          "alpaca", [("user", f"Answer the question.\n\n{ASK}"), ("assistant", ANSWER)], ("task_name", "id")),
    Shape("Self-Instruct seed tasks",
          _rows(lambda i: {"id": f"seed_task_{i}", "name": "tides", "instruction": _n(ASK, i),
                           "instances": [{"input": "", "output": ANSWER}], "is_classification": False}),
          "undecided", asks=("separate examples",)),
    Shape("WizardLM/WizardLM_evol_instruct_70k", [{"output": ANSWER, "instruction": ASK}] * 3, "alpaca", PAIR),
    Shape("WizardLMTeam/WizardLM_evol_instruct_V2_196k", [{"idx": "a1b2", "conversations": _shared(ASK, ANSWER)}] * 3,
          "sharegpt", PAIR, ("idx",)),
    Shape("sahil2801/CodeAlpaca-20k", [{"instruction": ASK, "input": "", "output": "print('tide')"}] * 3,
          "alpaca", [("user", ASK), ("assistant", "print('tide')")]),
    Shape("openai/gsm8k", [{"question": "What is 3 + 4?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"}] * 3,
          "prompt_completion", [("user", "What is 3 + 4?"), ("assistant", "3 + 4 = <<3+4=7>>7\n#### 7")]),
    Shape("rajpurkar/squad",
          _rows(lambda i: {"id": f"{i:024x}", "title": "Tide", "context": LONG, "question": _n(ASK, i),
                           "answers": {"text": ["The moon", "moon"], "answer_start": [0, 4]}}),
          "prompt_completion", [("user", f"{ASK}\n\n{LONG}"), ("assistant", "The moon")], ("id", "title"),
          ("'answer_start'", "the first is used")),
    Shape("abisee/cnn_dailymail",
          _rows(lambda i: {"article": _n(LONG * 4, i), "highlights": "A ship lay behind the point.",
                           "id": f"{i:040x}"}),
          "prompt_completion", [("user", LONG * 4), ("assistant", "A ship lay behind the point.")], ("id",)),
    Shape("EdinburghNLP/xsum",
          _rows(lambda i: {"document": _n(LONG * 4, i), "summary": "A ship lay behind the point.", "id": str(i)}),
          "prompt_completion", [("user", LONG * 4), ("assistant", "A ship lay behind the point.")], ("id",)),
    Shape("stanfordnlp/imdb", _rows(lambda i: {"text": _n(LONG, i), "label": i % 2}, 8),
          "label", [("user", f"{LONG.strip()}\n\nWhat is the label?"), ("assistant", "0")]),
    Shape("stanfordnlp/sst2", _rows(lambda i: {"idx": i, "sentence": _n(LONG, i), "label": i % 2}, 8),
          "label", [("user", f"{LONG.strip()}\n\nWhat is the label?"), ("assistant", "0")], ("idx",)),
    Shape("fancyzhx/ag_news", _rows(lambda i: {"text": _n(LONG, i), "label": i % 4}, 16),
          "label", [("user", f"{LONG.strip()}\n\nWhat is the label?"), ("assistant", "0")]),
    Shape("A review with its stars", _rows(lambda i: {"review": _n(LONG, i), "stars": i % 2}, 60),
          "undecided", asks=("'stars' may be",)),
    Shape("A CSV of reviews and stars", _rows(lambda i: {"review": _n(LONG, i), "stars": str(i % 2)}, 60),
          "undecided", asks=("'stars' may be",)),
    Shape("IMDB sorted by label", _rows(lambda i: {"text": _n(LONG, i), "label": 0}, 8),
          "label", [("user", f"{LONG.strip()}\n\nWhat is the label?"), ("assistant", "0")]),
    Shape("PolyAI/banking77", _rows(lambda i: {"text": _n(LONG, i), "label": i * 7 % 77}, 90),
          "label", [("user", f"{LONG.strip()}\n\nWhat is the label?"), ("assistant", "0")]),
    Shape("google-research-datasets/go_emotions",
          _rows(lambda i: {"text": _n(LONG, i), "labels": [i % 28], "id": f"ee{i:04d}"}),
          "undecided", asks=("'labels' may hold",)),
    Shape("Amod/mental_health_counseling_conversations", _rows(lambda i: {"Context": _n(LONG, i), "Response": ANSWER}),
          "undecided", asks=("'Context' may be the question",)),
    Shape("Two columns in another language",
          _rows(lambda i: {"Frage": f"Wie heißt der Hafen Nummer {i}?", "Antwort": f"Er heißt Hafen {i}, sagt man."}),
          "undecided", asks=("2 columns may hold the text to train on",)),
    Shape("ShareGPT with capital letters",
          [{"Conversations": [{"From": "human", "Value": ASK}, {"From": "gpt", "Value": ANSWER}]}] * 3,
          "sharegpt", PAIR),
    Shape("knkarthick/samsum",
          _rows(lambda i: {"id": str(i), "dialogue": f"A: {_n(ASK, i)}\nB: {ANSWER}",
                           "summary": "They speak of tides."}),
          "prompt_completion", [("user", f"A: {ASK}\nB: {ANSWER}"), ("assistant", "They speak of tides.")], ("id",)),
    Shape("FiscalNote/billsum", _rows(lambda i: {"text": _n(LONG * 4, i), "summary": _n("A ship.", i), "title": "S"}),
          "prompt_completion", [("user", LONG * 4), ("assistant", "A ship.")], ("title",)),
    Shape("GBaker/MedQA-USMLE-4-options",
          _rows(lambda i: {"question": _n(ASK, i), "answer": "The moon", "options": {"A": "The moon", "B": "The wind"},
                           "answer_idx": "A"}),
          "prompt_completion", [("user", ASK), ("assistant", "The moon")], ("options", "answer_idx")),
    Shape("nyu-mll/glue, mnli",
          _rows(lambda i: {"premise": _n(LONG, i), "hypothesis": _n(ASK, i), "label": i % 3, "idx": i}, 9),
          "undecided", asks=("both belong to the question",)),
    Shape("lmsys/mt_bench_prompts",
          _rows(lambda i: {"prompt": [_n(ASK, i), "Rewrite it."], "reference": [], "category": "writing",
                           "prompt_id": i}),
          "undecided", asks=("list of texts",)),
    Shape("OpenAI fine-tuning file with weights",
          [{"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": "No.", "weight": 0},
                         {"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER, "weight": 1}]}] * 3,
          "messages", [("user", ASK), ("assistant, no loss", "No."), ("user", ASK), ("assistant", ANSWER)]),
    Shape("OpenAI fine-tuning file with tools",
          [{"messages": [{"role": "user", "content": ASK},
                         {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {
                             "name": "tide", "arguments": "{}"}}]}],
            "tools": [{"type": "function", "function": {"name": "tide"}}], "parallel_tool_calls": False}] * 3,
          "messages",
          [("system", 'You may call these tools:\n[{"type": "function", "function": {"name": "tide"}}]'), ("user", ASK),
           ("assistant", '[{"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]')],
          ("parallel_tool_calls",)),
    Shape("Gemini and Vertex",
          [{"systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": ASK}]},
                         {"role": "model", "parts": [{"text": ANSWER}]}]}] * 3,
          "messages", [("system", "Be brief."), *PAIR]),
    Shape("Anthropic messages",
          [{"system": "Be brief.", "messages": [
              {"role": "user", "content": [{"type": "text", "text": ASK}]},
              {"role": "assistant", "content": [{"type": "thinking", "thinking": "The moon."},
                                                {"type": "text", "text": ANSWER}]}]}] * 3,
          "messages", [("system", "Be brief."), ("user", ASK),
                       ("assistant", f"<think>\nThe moon.\n</think>\n\n{ANSWER}")]),
    Shape("GAIR/lima", [{"conversations": [ASK, ANSWER], "source": "stackexchange"}] * 3, "messages", PAIR,
          ("source",)),
    Shape("teknium/OpenHermes-2.5",
          [{"conversations": _shared(ASK, ANSWER), "system_prompt": None, "custom_instruction": None,
            "source": "airoboros", "category": "orca"}] * 3,
          "sharegpt", PAIR, ("source", "category")),
    Shape("meta-math/MetaMathQA",
          _rows(lambda i: {"type": "GSM_Rephrased", "query": _n(ASK, i), "original_question": _n(ASK, i),
                           "response": ANSWER}),
          "prompt_completion", PAIR, ("type", "original_question")),
    Shape("b-mc2/sql-create-context",
          _rows(lambda i: {"question": _n(ASK, i), "context": "CREATE TABLE tide (hour INT)",
                           "answer": "SELECT hour FROM tide"}),
          "prompt_completion", [("user", f"{ASK}\n\nCREATE TABLE tide (hour INT)"),
                                ("assistant", "SELECT hour FROM tide")]),
    Shape("Hello-SimpleAI/HC3",
          _rows(lambda i: {"question": _n(ASK, i), "human_answers": [ANSWER], "chatgpt_answers": ["As a model, …"]}),
          "undecided", asks=("'question' may be the question and 'human_answers' the answer",)),
    Shape("PKU-Alignment/PKU-SafeRLHF",
          _rows(lambda i: {"prompt": _n(ASK, i), "response_0": ANSWER, "response_1": _n(LONG, i),
                           "better_response_id": 0}),
          "undecided", asks=("'better_response_id' may say which of 'response_0' and 'response_1' is the better",)),
    Shape("stanfordnlp/SHP",
          _rows(lambda i: {"post_id": f"q{i}", "domain": "explainlikeimfive_train", "history": _n(ASK, i),
                           "score_A": 9 - i, "score_B": i, "human_ref_A": ANSWER, "human_ref_B": _n(LONG, i),
                           "labels": i % 2}),
          "undecided", asks=("'labels' may say which of 'human_ref_A' and 'human_ref_B' is the better",)),
    Shape("wikimedia/wikipedia",
          _rows(lambda i: {"id": str(i), "url": f"https://x.org/{i}", "title": f"The tide number {i} of all",
                           "text": _n(LONG * 9, i)}),
          "text", [("text", LONG * 9)], ("id", "url", "title")),
    Shape("A text with a rendered ChatML template",
          [{"text": f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{ASK}<|im_end|>\n"
                    f"<|im_start|>assistant\n{ANSWER}<|im_end|>\n"}] * 3,
          "marked", [("system", "Be brief."), *PAIR]),
    Shape("A text with a rendered Alpaca template",
          [{"text": f"Below is an instruction.\n\n### Instruction:\n{ASK}\n\n### Input:\nBriefly.\n\n"
                    f"### Response:\n{ANSWER}"}] * 3,
          "marked", [("system", "Below is an instruction."), ("user", f"{ASK}\n\nBriefly."), ("assistant", ANSWER)]),
)  # fmt: skip
