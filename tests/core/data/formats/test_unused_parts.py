"""Columns that no reading uses are asked about: calls of tools, pictures, quoted mails; and offers that use them."""

import json

import pytest

from core.data.formats.detect import detect

QUESTIONS = [
    "How do tides come about?",
    "Who keeps the light?",
    "Why is the sea so salty?",
    "How many birds are there?",
]
ANSWERS = ["The moon pulls the water.", "The keeper does, alone.", "Rivers carry salt there.", "Gull, tern and auk."]
QUOTES = {
    "Outlook": "-----Original Message-----\nFrom: Ann\nSent: Monday\n\n{}",
    "Gmail": "On Mon, 2 Mar 2026 at 10:10, Ann <ann@mail.example> wrote:\n> {}",
    "Thunderbird in German": "Am 02.03.26 um 10:10 schrieb Ann:\n> {}",
    "a header": "From: Ann Lee\nSent: Monday, March 2\nTo: Bo\n\n{}",
}


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


def asked(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    return found.evidence


@pytest.mark.parametrize(
    "calls",
    [
        {"function_name": ["tide"] * 4, "function_args": ['{"at": 1}'] * 4, "function_result": ["high", "low"] * 2},
        {"tool_calls": [[{"name": "tide"}]] * 4},
        {"API response": ["It is high now, at 3 m.", "It is low now, at 1 m."] * 2},
        {"toolUsed": ["tide", "search", "tide", "tide"]},
    ],
)
def test_calls_beside_question_and_answer_are_asked_about(calls):
    assert "may hold calls of tools" in asked(rows_of(question=QUESTIONS, answer=ANSWERS, **calls))


@pytest.mark.parametrize("beside", [{"tools": ['[{"name": "tide"}]'] * 4}, {"function": ["clerk", "cook"] * 2}])
def test_other_columns_are_no_calls(beside):
    assert "calls of tools" not in detect(rows_of(question=QUESTIONS, answer=ANSWERS, **beside)).evidence


@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES)
def test_answers_with_the_quoted_mail_are_asked_about(quote):
    replies = [f"{answer}\n\n{quote.format(ask)}" for ask, answer in zip(QUESTIONS, ANSWERS, strict=True)]
    assert "repeats the mail that it answers" in asked(rows_of(question=QUESTIONS, answer=replies))


@pytest.mark.parametrize("end", ["> a quotation", "From: the sea", "He wrote: nothing.", "- original message"])
def test_other_answers_repeat_no_mail(end):
    found = detect(rows_of(question=QUESTIONS, answer=[f"{answer}\n{end}" for answer in ANSWERS]))
    assert found.is_sure, found.evidence


@pytest.mark.parametrize("names", [("front", "back"), ("Text", "Back Extra"), ("text", "source")])
def test_gaps_of_cloze_cards_are_asked_about(names):
    cards = [f"The {{{{c1::{answer}}}}} is what answers {ask}" for ask, answer in zip(QUESTIONS, ANSWERS, strict=True)]
    assert "gaps such as '{{c1::The moon pulls the water.}}'" in asked(
        rows_of(**dict(zip(names, (cards, ANSWERS), strict=True)))
    )


@pytest.mark.parametrize(
    "names", [("What do you like most?", "What should we change?"), ("¿Qué le gusta más?", "何を直すべきですか？")]
)
def test_questions_in_the_header_are_asked_about(names):
    rows = rows_of(id=[7, 8, 9, 5], **dict(zip(names, (ANSWERS, [f"{one} And more." for one in ANSWERS]), strict=True)))
    assert f"The names of 2 columns are questions, such as {names[0]!r}" in asked(rows)


SHAPES = {
    "a product": {"brand": ["Kiso", "Halden", "Ferro", "Kiso"], "color": ["black", "sand", "white", "rust"],
                  "material": ["oak", "steel", "linen", "glass"]},
    "with a name": {"name": ["Lamp 7", "Chair 2", "Bag 4", "Mug 9"], "color": ["black", "sand", "white", "rust"],
                    "price": ["19.90", "29.90", "39.90", "49.90"], "material": ["oak", "steel", "linen", "glass"]},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_text_that_names_the_values_beside_it_is_offered_as_their_answer(name):
    columns = SHAPES[name]
    texts = [f"Here is {' and '.join(values[i] for values in columns.values())}: for every home." for i in range(4)]
    rows = rows_of(**columns, description=texts)
    assert "'description' names the values of" in asked(rows)
    question, answer = detect(rows).candidates[0].parse(rows[0])
    assert question["content"] == "\n\n".join(values[0] for values in columns.values())
    assert answer["content"] == texts[0]


def test_summary_of_a_tracker_is_a_title():
    rows = rows_of(Summary=[f"On {ask}" for ask in QUESTIONS], Priority=["High", "Low"] * 2, Description=QUESTIONS,
                   Comment=ANSWERS)  # fmt: skip
    assert "'Summary' and 'Description' may be the question and 'Comment' the answer" in asked(rows)
    question, answer = detect(rows).candidates[0].parse(rows[0])
    assert (question["content"], answer["content"]) == (f"On {QUESTIONS[0]}\n\n{QUESTIONS[0]}", ANSWERS[0])


@pytest.mark.parametrize("names", [("diff_hunk", "comment_body"), ("patch", "review"), ("code", "review_text")])
def test_review_of_a_change_is_offered_as_its_answer(names):
    changes = [f"+ tide({i}) # {ask}" for i, ask in enumerate(QUESTIONS)]
    rows = rows_of(path=["a/b.py"] * 4, **dict(zip(names, (changes, ANSWERS), strict=True)))
    asked(rows)
    assert detect(rows).candidates[0].columns == {"prompt": names[0], "completion": names[1]}


def test_topic_beside_cards_of_questions_and_answers_is_no_certain_label():
    pairs = zip(QUESTIONS, ANSWERS, strict=True)
    rows = rows_of(topic=["sea", "birds"] * 2, card=[f"Q: {question}\nA: {answer}" for question, answer in pairs])
    assert "q = user, a = assistant" in asked(rows * 3)
    marked = rows_of(topic=["sea", "birds"] * 2, text=[f"Asked: {one}\nGiven: {one}" for one in ANSWERS])
    assert "'Asked:' and 'Given:' may mark turns" in asked(marked * 3)


@pytest.mark.parametrize("name", ["deletions", "files_changed", "view_count", "numLikes"])
def test_counts_beside_a_text_are_no_labels(name):
    rows = rows_of(**{name: [1, 2, 1, 2]}, body=ANSWERS, note=[f"I wonder: {one}" for one in QUESTIONS]) * 20
    assert all(one.format != "label" for one in detect(rows).candidates)


@pytest.mark.parametrize(
    "names",
    [("question", "SQL"), ("utterance", "sql_text"), ("Symptom", "Maßnahme"), ("Fehler", "Behebung"),
     ("diff", "subject"), ("original_clause", "revised_clause"), ("Störung", "Lösung")],
)  # fmt: skip
def test_pairs_with_names_of_other_professions_are_offered_first(names):
    rows = rows_of(
        **dict(zip(names, (QUESTIONS, ANSWERS), strict=True)), remark=[f"I wonder: {one}" for one in ANSWERS]
    )
    asked(rows)
    assert [m["content"] for m in detect(rows).candidates[0].parse(rows[0])] == [QUESTIONS[0], ANSWERS[0]]


def test_repeated_question_is_put_before_the_answer_of_a_student():
    remarks = [f"Rather: {one}" for one in ANSWERS]
    rows = [
        row | {"question": f"What of the sea {i % 2}?"}
        for i, row in enumerate(rows_of(given=ANSWERS, remark=remarks) * 3)
    ]
    assert "comes back in several rows" in asked(rows)
    question, answer = detect(rows).candidates[0].parse(rows[0])
    assert (question["content"], answer["content"]) == (f"What of the sea 0?\n\n{ANSWERS[0]}", remarks[0])


@pytest.mark.parametrize("name", ["turn{}_text", "Message {}", "utt_{}"])
def test_numbered_turns_are_asked_about(name):
    texts = (QUESTIONS, ANSWERS, [f"And {one}" for one in QUESTIONS])
    rows = rows_of(**{name.format(number): text for number, text in enumerate(texts, 1)}, dialog=[7, 8, 9, 5])
    assert "may be the turns of one conversation" in asked(rows)


def test_fields_with_their_values_are_no_messages():
    actions = [[{"field": "comment_value", "value": one}, {"field": "status", "value": "solved"}] for one in ANSWERS]
    found = detect(rows_of(title=["Refund", "Delay", "Locked", "Thanks"], actions=actions))
    assert all(one.format != "messages" for one in found.candidates)
    assert "messages" not in found.evidence


@pytest.mark.parametrize("names", [("User Message", "Bot Reply"), ("patient", "doctor"), ("Symptom", "Maßnahme")])
def test_intent_beside_a_pair_is_no_certain_label(names):
    rows = rows_of(**dict(zip(names, (["hi", "thanks a lot", "human", "bye"], ANSWERS), strict=True)),
                   Intent=["greet", "thanks", "other", "other"])  # fmt: skip
    asked(rows * 2)
    assert detect(rows * 2).candidates[0].columns == {"prompt": names[0], "completion": names[1]}


MEDIA = {
    "paths": {"image": [f"images/train/{i}.jpg" for i in range(4)]},
    "an address": {"image_url": [f"https://img.example/{i}.png?w=640" for i in range(4)]},
    "lists": {"images": [[f"{i}.webp"] for i in range(4)]},
    "bytes": {"audio": [{"bytes": "UklGR", "path": None}] * 4},
    "data": {"picture": ["data:image/png;base64,iVBORw0"] * 4},
    "a film": {"video_path": [f"clips/{i}.mp4" for i in range(4)]},
}


@pytest.mark.parametrize("name", MEDIA)
def test_questions_about_pictures_and_recordings_are_asked_about(name):
    assert "a model of texts does not get" in asked(rows_of(question=QUESTIONS, answer=ANSWERS, **MEDIA[name]))


@pytest.mark.parametrize("beside", [{"image": ["of a sailor", "of a fish"] * 2}, {"file": ["a.jpg"] * 4}])
def test_other_columns_are_no_pictures(beside):
    assert detect(rows_of(question=QUESTIONS, answer=ANSWERS, **beside)).is_sure


@pytest.mark.parametrize("write", [lambda value: value, json.dumps])
def test_object_whose_values_stand_in_a_text_is_offered_first_as_extracted(write):
    texts = ["Hafenstr. 1, 24103 Kiel", "Main St 2, 02108 Boston", "Rue de Lyon 3, 75012 Paris", "Torget 4, 0159 Oslo"]
    parsed = [{"zip": text.split()[-2], "city": text.split()[-1]} for text in texts]
    rows = rows_of(raw=texts, parsed=[write(one) for one in parsed], country=["DE", "US", "FR", "NO"])
    assert "from which it may be extracted" in asked(rows)
    assert detect(rows).candidates[0].parse(rows[0])[1]["content"] == '{"zip": "24103", "city": "Kiel"}'


def test_middle_between_prefix_and_suffix_is_offered_first():
    rows = rows_of(prefix=["def a():", "def b():", "def c():", "x = ("], middle=["\n  x = 1", "y", "z = 2", "7"],
                   suffix=["\n  return x", "()", "\n", ")"])  # fmt: skip
    assert "may be the text between" in asked(rows)
    assert detect(rows).candidates[0].columns == {"prompt": "prefix", "context": "suffix", "completion": "middle"}


def test_last_of_several_texts_is_offered_as_the_answer_to_the_others():
    notes = {name: [f"{name}: {one}" for one in ANSWERS] for name in ("subjective", "objective", "assessment")}
    rows = rows_of(**notes, plan=QUESTIONS)
    asked(rows)
    [offer] = [one for one in detect(rows).candidates if one.format == "prompt_completion"]
    assert offer.columns == {"prompt": "subjective", "completion": "plan"}
    assert offer.extra == {"objective": "context", "assessment": "context"}


def test_questions_beside_sparse_categories_are_offered_first():
    rows = rows_of(Category=["Sea", "", "Birds", ""], **{"Customer asks": QUESTIONS, "We say": ANSWERS})
    asked(rows)
    assert detect(rows).candidates[0].columns == {"prompt": "Customer asks", "completion": "We say"}


def test_lines_of_questions_and_answers_in_turn_are_asked_about():
    lines = [line for pair in zip(QUESTIONS, ANSWERS, strict=True) for line in pair]
    assert "Every second text is a question" in asked([{"text": line} for line in lines])
    assert detect([{"text": line} for line in (*ANSWERS, *ANSWERS, QUESTIONS[0])]).is_sure


def test_actions_of_an_agent_beside_its_answer_are_asked_about():
    steps = [[{"thought": "Search.", "action": "search", "observation": one}] for one in ANSWERS]
    assert "'trajectory' may hold calls of tools" in asked(rows_of(task=QUESTIONS, trajectory=steps, answer=ANSWERS))


def test_close_notes_of_a_ticket_are_offered_as_the_answer_to_it():
    rows = rows_of(short_description=[f"On {one}" for one in ANSWERS], description=QUESTIONS, close_notes=ANSWERS,
                   work_notes=[f"Rather: {one}" for one in ANSWERS], assignment_group=["Desk"] * 4)  # fmt: skip
    asked(rows)
    slots = {"instruction": "short_description", "input": "description", "output": "close_notes"}
    offers = [
        one.read_columns(rows[0]) for one in detect(rows).candidates if one.format in ("alpaca", "prompt_completion")
    ]
    assert {"prompt": "description", "completion": "close_notes"} in offers
    assert any(slots.items() <= one.items() for one in offers)
