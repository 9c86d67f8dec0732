"""Rows that only look like questions and answers stay undecided, so that the page asks."""

import pytest

from core.data.formats.detect import detect
from core.data.formats.reading import Reading
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of, turns


def texts(pattern):
    """Return rows of one text each, a question and its answer put into `pattern`."""
    return rows_of(text=[pattern.format(q=q, a=a) for q, a in zip(QUESTIONS, PROSE, strict=True)])


ASKED = {
    "a history beside the question and the answer": rows_of(
        history=[turns(text) for text in PROSE], question=[f"{text} Why?" for text in QUESTIONS],
        answer=[f"Since {text}" for text in PROSE],
    ),
    "turns that end on a question, and the answer in a column": rows_of(
        messages=[turns(text)[:1] for text in PROSE], response=[f"Since {text}" for text in PROSE],
    ),
    "ids as the question": rows_of(user=["user0", "user1", "user2", "user3"], response=PROSE),
    "file names": rows_of(input=["img_0.png", "img_1.png", "img_2.png", "img_3.png"],
                          output=["mask_0.png", "mask_1.png", "mask_2.png", "mask_3.png"]),
    "provenance": rows_of(source=["wiki"] * 4, target=["train"] * 4, text=PROSE),
    "an object as the answer": rows_of(question=QUESTIONS, answer=[{"value": text, "aliases": []} for text in PROSE]),
    "an envelope as the answer": rows_of(prompt=QUESTIONS, response=[{"choices": [{"text": text}]} for text in PROSE]),
    "a ranked list as the answer": rows_of(prompt=QUESTIONS, answers=[[{"rank": 1, "answer": t}] for t in PROSE]),
    "two conversations": rows_of(conversation_a=[turns("a")] * 4, conversation_b=[turns("b")] * 4),
    "good and bad conversations": rows_of(good=[turns("a")] * 4, bad=[turns("b")] * 4),
    "KTO as 0 and 1": rows_of(prompt=QUESTIONS, completion=PROSE, label=[0, 1, 0, 1]),
    "KTO as text": rows_of(prompt=QUESTIONS, completion=PROSE, label=["good", "bad"] * 2),
    "KTO as -1 and 1": rows_of(prompt=QUESTIONS, completion=PROSE, label=[-1, 1, 1, -1]),
    "KTO of turns": rows_of(messages=[turns("a"), turns("b"), turns("c"), turns("d")], label=[0, 1, 1, 0]),
    "is_correct": rows_of(prompt=QUESTIONS, completion=PROSE, is_correct=[True, False, True, True]),
    "thumbs": rows_of(prompt=QUESTIONS, response=PROSE, feedback=["thumbs_down", "thumbs_up"] * 2),
    "a status": rows_of(prompt=QUESTIONS, response=PROSE, status=["rejected", "approved"] * 2),
    "a weight of the row": rows_of(messages=[turns("a")] * 4, weight=[0, 1, 0, 1]),
    "options that no answer names": rows_of(question=QUESTIONS, choices=[["a", "b"]] * 4, answer=["x", "y", "z", "x"]),
    "an article that nothing reads": rows_of(question=QUESTIONS, article=PROSE, answer=["A", "B", "C", "D"]),
    "the text beside its instruction": rows_of(instruction=["Classify it."] * 4, text=PROSE, output=["a", "b"] * 2),
    "the message beside its history": rows_of(message=QUESTIONS, chat_history=[turns(text) for text in PROSE]),
    "question and answer in one text": texts("Q: {q}\nA: {a}"),
    "labels within a line": texts("Question: {q} Answer: {a}"),
    "headings of turns": texts("**Student:** {q}\n\n**Teacher:** {a}"),
    "unusual tokens": texts("<|prompter|>{q}<|endoftext|><|reply|>{a}"),
    "DeepSeek's tokens": texts("<｜begin▁of▁sentence｜>Be brief.<｜User｜>{q}<｜Assistant｜>{a}<｜end▁of▁sentence｜>"),
    "Chinese speakers": texts("用户：{q}\n助手：{a}"),
    "Russian speakers": texts("Вопрос: {q}\nОтвет: {a}"),
    "Japanese speakers with a plain colon": texts("ユーザー: {q}\nアシスタント: {a}"),
    "numbered persons": texts("#Person1#: {q}\n#Person2#: {a}"),
    "tags of turns": texts("<question>{q}</question><answer>{a}</answer>"),
    "a mask that is not explained": rows_of(messages=[[turns("a")[0], turns("a")[1] | {"mask": 1}]] * 4),
    "a constant beside the question": rows_of(instruction=["You are a keeper."] * 4, question=QUESTIONS, answer=PROSE),
    "a constant prompt": rows_of(prompt=["Be a keeper, please."] * 4, question=QUESTIONS, answer=PROSE),
    "two questions": rows_of(instruction=PROSE, query=QUESTIONS, output=PROSE[::-1]),
    "the number of the chosen answer": rows_of(prompt=QUESTIONS, responses=[["No.", text] for text in PROSE],
                                               chosen=[1] * 4, rejected=[0] * 4),
    "its number as text": rows_of(prompt=QUESTIONS, responses=[["No.", text] for text in PROSE],
                                  chosen=["1", "0"] * 2, rejected=["0", "1"] * 2),
    "the letter of the chosen answer": rows_of(prompt=QUESTIONS, response_a=PROSE, response_b=PROSE[::-1],
                                               chosen=["A", "B"] * 2, rejected=["B", "A"] * 2),
    "the column of the chosen answer": rows_of(prompt=QUESTIONS, first=PROSE, second=PROSE[::-1],
                                               chosen=["first", "second"] * 2, rejected=["second", "first"] * 2),
    **{f"messages, one per row, by {role}, {content}": rows_of(**{
        "conversation_id": [0, 0, 1, 1], role: [user, other] * 2, content: [QUESTIONS[0], PROSE[0]] * 2})
       for role, content, user, other in (("role", "content", "user", "assistant"), ("from", "value", "human", "gpt"),
                                          ("sender", "message", "User", "Bot"), ("Speaker", "Text", "Ann", "Bob"))},
    "messages without a number": rows_of(role=["user", "assistant"] * 2, content=[QUESTIONS[0], PROSE[0]] * 2),
    "messages by their turn": rows_of(role=["user", "assistant"] * 2, text=PROSE, turn=[0, 1] * 2),
    "a constant output and a response": rows_of(instruction=QUESTIONS, output=["old"] * 4, response=PROSE),
    "a draft and its correction": rows_of(prompt=QUESTIONS, response=[f"Draft: {text}" for text in PROSE],
                                          corrected_response=PROSE),
    "output and response": rows_of(instruction=QUESTIONS, output=PROSE, response=PROSE[::-1]),
    **{f"an answer and {other}": rows_of(prompt=QUESTIONS, response=PROSE, **{other: PROSE[::-1]})
       for other in ("corrected_response", "response_2", "goldAnswer", "edited output", "output")},
    **{f"a column {name} = {value}": rows_of(messages=[turns(text) for text in PROSE], **{name: [value] * 4})
       for name, value in (("loss_mask", [0, 1]), ("train_mask", "[0, 1]"), ("weights", [0.0, 0.5]), ("mask", [1, 0]),
                           ("trainMask", [False, True]), ("loss_weight", 0.25), ("skip", True), ("no_loss", [0, 1]))},
    "a mask of marked text": rows_of(text=[f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>"
                                           for text in PROSE], loss_mask=[[0, 1]] * 4),
    "weights of pairs": rows_of(prompt=QUESTIONS, completion=PROSE, loss_weight=[0.1, 0.2, 0.3, 0.4]),
    **{f"the speaker {label.strip()} in marked text": texts(pattern) for label, pattern in (
        ("DATABASE:", "USER: {q}\nASSISTANT: look\nDATABASE: found\nASSISTANT: {a}"),
        ("### Lookup:", "### Human: {q}\n### Assistant: look\n### Lookup: found\n### Assistant: {a}"),
        ("Web page:", "\n\nHuman: {q}\n\nAssistant: look\n\nWeb page: found\n\nAssistant: {a}"),
        ("### Retrieved:", "### Instruction:\n{q}\n### Response:\nlook\n### Retrieved:\nx\n### Response:\n{a}"))},
    "unknown roles": rows_of(messages=[[{"role": "Ann", "content": "Hi."}, {"role": "Bob", "content": "Yo."}]] * 4),
}  # fmt: skip


@pytest.mark.parametrize("rows", ASKED.values(), ids=ASKED)
def test_detect_doubtful_rows_stay_undecided(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert found.evidence.startswith("no format is certain")


def test_detect_ids_beside_a_text_and_its_label_are_not_the_question():
    rows = rows_of(user=["user0", "user1", "user2", "user3"], target=["0", "4", "0", "4"], text=PROSE)
    assert detect(rows).reading.format == "label"


def test_detect_copy_of_the_whole_row_is_no_part_of_the_question():
    rows = rows_of(
        instruction=QUESTIONS, output=PROSE, text=[f"{q}\n{a}" for q, a in zip(QUESTIONS, PROSE, strict=True)]
    )
    assert detect(rows).reading.format == "alpaca"


def test_detect_constant_weight_is_no_judgment():
    assert detect(rows_of(messages=[turns(text) for text in PROSE], weight=[1] * 4)).reading.format == "messages"


@pytest.mark.parametrize(("constant", "answer"), [("instruction", "answer"), ("prompt", "a")])
def test_detect_constant_beside_question_no_candidate_drops_the_question(constant, answer):
    rows = rows_of(**{constant: ["You are a keeper."] * 4, "question": QUESTIONS, answer: PROSE})
    parsed = [reading.read(rows[0]) for reading in detect(rows).candidates if reading.format != "text"]
    assert len(parsed) > 1
    assert all(any(QUESTIONS[0] in m["content"] for m in p.messages if m["role"] == "user") for p in parsed)
    assert parsed[0].messages[0] == {"role": "system", "content": "You are a keeper."}


def test_detect_own_mapping_reads_the_constant_as_chosen():
    row = rows_of(instruction=["You are a keeper."] * 4, question=QUESTIONS, answer=PROSE)[0]
    reading = Reading(format="prompt_completion", columns={"prompt": "instruction", "completion": "answer"})
    assert [m["content"] for m in reading.parse(row)] == ["You are a keeper.", PROSE[0]]


def test_detect_short_answers_of_a_preference_pair_are_texts():
    rows = rows_of(prompt=QUESTIONS, chosen=["4", "6", "8", "10"], rejected=["5", "5", "5", "5"])
    assert detect(rows).reading.format == "preference"


def test_detect_number_of_the_chosen_answer_is_explained():
    assert "not their texts" in detect(ASKED["the number of the chosen answer"]).evidence


def test_detect_messages_one_per_row_says_how_to_group_them():
    asked = detect(ASKED["messages, one per row, by role, content"]).evidence
    assert "Each row is one message (columns 'role' and 'content')" in asked
    assert "into one row as a list" in asked


def test_detect_texts_of_authors_are_plain_text():
    rows = rows_of(author=["Ann", "Bob"] * 2, id=[1, 2, 3, 4], text=[f"{text} " * 9 for text in PROSE])
    assert detect(rows).reading.format == "text"


def test_detect_two_answers_are_both_offered():
    offered = [
        reading.read(ASKED["a draft and its correction"][0])
        for reading in detect(ASKED["a draft and its correction"]).candidates
        if reading.format == "prompt_completion"
    ]
    assert {parsed.messages[1]["content"] for parsed in offered} == {f"Draft: {PROSE[0]}", PROSE[0]}


def test_detect_result_of_a_solution_is_no_second_answer():
    solutions = [f"{text} It is {i}." for i, text in enumerate(PROSE)]
    found = detect(rows_of(problem=QUESTIONS, solution=solutions, answer=["0", "1", "2", "3"]))
    assert (found.reading.format, found.reading.columns["completion"]) == ("prompt_completion", "solution")


@pytest.mark.parametrize(("name", "value"), [("loss_mask", [1, 1]), ("skip", False), ("no_loss", [0, 0]),
                                             ("mask", None), ("training", "first part")])  # fmt: skip
def test_detect_mask_that_excludes_nothing_raises_no_doubt(name, value):
    rows = rows_of(messages=[turns(text) for text in PROSE], **{name: [value] * 4})
    assert detect(rows).reading.format == "messages"


def test_detect_weight_beside_plain_text_is_about_the_text():
    rows = rows_of(text=[f"{text} " * 9 for text in PROSE], weight=[3, 4, 5, 6])
    assert detect(rows).reading.format == "text"


def test_detect_copy_of_a_turn_beside_the_conversation_raises_no_doubt():
    rows = rows_of(prompt=[turns(text)[0]["content"] for text in PROSE], messages=[turns(text) for text in PROSE])
    assert detect(rows).reading.format == "messages"


@pytest.mark.parametrize(
    "pattern",
    [
        "USER: {q}\nASSISTANT: In short:\nNote: {a}\nSUMMARY: {a}",
        "### Human: {q}\n### Assistant: {a}\n### Notes: {a}\n### Human: So?\n### Assistant: {a}\n### Notes: {a}",
        "\n\nHuman: {q}\n\nAssistant: Step: {a}\n\nResult: {a}",
    ],
)
def test_detect_label_within_the_last_answer_of_a_question_raises_no_doubt(pattern):
    assert detect(texts(pattern)).is_sure
