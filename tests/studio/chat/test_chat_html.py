"""A conversation as HTML: names, facts, actions, marked differences, and answers in progress."""

from core.chat.conversation import Conversation, LaneChoice
from core.chat.queue_entry import QueueEntry
from core.chat.types import Generation, GenerationResult, ResolvedLanes
from studio.chat.chat_html import DIFFERENCES, PROBABILITIES, boards_html, last_board_html
from studio.chat.in_progress import AnswersInProgress


def conversation_of(*answers, **turn):
    chat = Conversation(id="a", lanes=[LaneChoice(), LaneChoice(run="r")])
    last = chat.ask("Hi?", reference=turn.pop("reference", ""))
    for lane, answer in enumerate(answers):
        if answer:
            last.answers[lane].append(answer)
    for name, value in turn.items():
        setattr(last, name, value)
    return chat


def answer(text, run="", **more):
    given = {"text": text, "tokens": 2, "end": "end", "ids": [1, 2], "run": run, "adapter": "final" if run else ""}
    return GenerationResult(**(given | more))


def last_turn(chat, answers=None, show=()):
    return boards_html(chat, {"s": "My run"}, answers, show)[1]


def test_card_shows_model_speed_and_end():
    shown = last_turn(
        conversation_of(answer("A.", first_token_seconds=0.5, tokens_per_second=7), answer("B.", run="r"))
    )
    assert ">Base<" in shown
    assert ">r · final<" in shown, "a deleted run has no other name"
    assert '<header title="s">My run · final<' in last_turn(conversation_of(answer("A."), answer("B.", run="s")))
    assert "2 tokens · first after 0.5 s · 7.0 tokens/s · ended by itself" in shown


def test_answer_of_exported_file_names_it_and_how_it_was_computed():
    file = answer("B.", run="s", adapter="my-run-012345-final-Q8_0.gguf")
    shown = last_turn(conversation_of(answer("A."), file))
    assert ">My run · my-run-012345-final-Q8_0.gguf<" in shown
    assert shown.count("weights of the file, computed by transformers in float32") == 1
    hidden = last_turn(conversation_of(answer("A."), file, blind=True))
    assert "gguf" not in hidden
    assert "weights of the file" not in hidden, "a blind vote must not show which answer is the file's"


def test_answer_of_classifier_is_bars_of_labels():
    labels = [("good & new", 0.75), ("bad", 0.25)]
    chat = conversation_of(answer("B."), answer("good & new", run="r", labels=labels, ids=[], waited_seconds=0.5))
    shown = last_turn(chat, show=[DIFFERENCES, PROBABILITIES])
    assert '<li style="--p:75.0%"><span>good &amp; new</span> <b>75.0%</b></li>' in shown
    assert "2 tokens read · after 0.5 s" in shown
    assert shown.count("good &amp; new") == 1, "the text is not repeated"
    assert 'data-event="why"' not in shown
    assert 'data-event="vote"' in shown


def test_actions_past_turn_has_no_retry_and_no_vote():
    chat = conversation_of(answer("A."), answer("B.", run="r"))
    chat.ask("And?").answers[0].append(answer("C."))
    past, last = boards_html(chat, {})
    assert "retry_lane" not in past
    assert 'data-event="vote"' not in past
    assert 'data-event="why" data-value="0 1"' in past
    assert 'data-event="retry_lane" data-value="1 0"' in last
    assert "No answer yet." in last
    assert 'data-event="vote"' not in last, "one answer cannot be compared"


def test_actions_continue_only_for_unfinished_answer():
    assert "continue_answer" not in last_turn(conversation_of(answer("A."), answer("B.", run="r")))
    assert 'data-event="continue_answer" data-value="0 1"' in last_turn(
        conversation_of(answer("A."), answer("B.", run="r", end="length"))
    )


def test_actions_several_tries_are_counted():
    chat = conversation_of(answer("A."), answer("B.", run="r"))
    chat.turns[0].answers[0].append(answer("A2."))
    shown = last_turn(chat)
    assert "Earlier attempt (2)" in shown
    assert "A2." in shown
    assert "A.<" not in shown


def test_blind_turn_hides_names_and_speed_until_the_vote():
    chat = conversation_of(answer("A."), answer("B.", run="r"), blind=True, order=[1, 0, 2, 3])
    shown = last_turn(chat)
    assert shown.index("B.") < shown.index("A.")
    assert "Answer A" in shown
    for hidden in (">Base<", "r · final", "tokens/s", 'data-event="why"'):
        assert hidden not in shown
    chat.turns[0].verdict, chat.turns[0].chosen = "left", "r · final"
    assert "Your vote: the first answer (r · final)." in last_turn(chat)


def test_show_options_mark_differences_and_probabilities():
    chat = conversation_of(
        answer("the lamp is lit", pieces=["the lamp", " is lit"], logprobs=[0.0, -1.0]),
        answer("the lamp was lit", run="r"),
    )
    assert "<mark>" not in last_turn(chat)
    assert "<mark>is</mark>" in last_turn(chat, show=[DIFFERENCES])
    assert "<mark>was</mark>" in last_turn(chat, show=[DIFFERENCES])
    assert 'title="36.8%"> is lit<' in last_turn(chat, show=[PROBABILITIES])


def test_vote_more_than_two_lanes_shows_the_reason():
    chat = conversation_of(answer("A."), answer("B.", run="r"))
    assert "Set Models to 2" not in last_turn(chat)
    chat.lanes.append(LaneChoice(run="r"))
    assert "A vote compares two answers. Set Models to 2" in last_turn(chat)
    assert 'data-event="vote"' not in last_turn(chat)
    chat.turns[0].verdict = "tie"
    assert "Set Models to 2" not in last_turn(chat)


def test_reference_is_a_card_of_its_own():
    assert "Reference, from the held-out row" in last_turn(conversation_of(answer("A."), None, reference="Red."))


def in_progress(chat, *answers, lanes=(0, 1)):
    progress = AnswersInProgress(chat, list(lanes), "page")
    progress.entry = QueueEntry(ResolvedLanes(None, []), generations=list(answers))
    return progress


def test_in_progress_each_unfinished_lane_can_be_stopped():
    chat = conversation_of()
    progress = in_progress(chat, Generation(text="A", tokens=1, seconds=1), Generation(text="B", tokens=2, end="end"))
    shown = last_board_html(progress, {})
    assert 'data-event="stop_lane" data-value="0 0"' in shown
    assert 'data-event="stop_lane" data-value="0 1"' not in shown, "it has ended"
    assert 'data-event="vote"' not in shown
    assert "writing" in shown


def test_in_progress_other_lane_keeps_its_answer_without_buttons():
    chat = conversation_of(answer("A."), answer("B.", run="r"))
    shown = last_board_html(in_progress(chat, Generation(text="New", tokens=1, seconds=1), lanes=(1,)), {})
    assert "A." in shown
    assert "New" in shown
    assert "B." not in shown
    assert 'data-event="retry_lane"' not in shown


def test_in_progress_continued_answer_shows_earlier_text():
    chat = conversation_of(answer("Once upon", end="length"), None)
    progress = in_progress(chat, Generation(), lanes=(0,))
    progress.continued = {0: chat.turns[0].shown(0)}
    assert "Once upon" in last_board_html(progress, {})


def test_card_shows_note_about_trimmed_history():
    assert "4 messages were left out" in last_turn(
        conversation_of(answer("A.", note="4 messages were left out."), None)
    )


def test_differences_of_a_long_answer_name_what_is_compared():
    chat = conversation_of(answer("a " * 5_000, note="Cut."), answer("b", run="r"))
    shown = last_turn(chat, show=[DIFFERENCES])
    assert shown.count("Cut. Only the first 8,000 words, spaces and punctuation marks of this answer are compared") == 1
    assert shown.count("are compared") == 1
    assert "are compared" not in last_turn(chat)
