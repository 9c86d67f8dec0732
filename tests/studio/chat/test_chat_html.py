"""A conversation as it is shown: who answered, what can be done with an answer, what is marked."""

from core.chat.conversation import Conversation, LaneChoice
from core.chat.queue import QueueEntry
from core.chat.types import Generation, GenerationResult, ResolvedLanes
from studio.chat.chat_html import DIFFERENCES, PROBABILITIES, boards, last_board
from studio.chat.in_progress import Live


def conversation_of(*answers, **turn):
    kept = Conversation(id="a", lanes=[LaneChoice(), LaneChoice(run="r")])
    asked = kept.ask("Hi?", reference=turn.pop("reference", ""))
    for lane, answer in enumerate(answers):
        if answer:
            asked.answers[lane].append(answer)
    for name, value in turn.items():
        setattr(asked, name, value)
    return kept


def answer(text, run="", **more):
    given = {"text": text, "tokens": 2, "end": "end", "ids": [1, 2], "run": run, "adapter": "final" if run else ""}
    return GenerationResult(**(given | more))


def now(kept, live=None, show=()):
    return boards(kept, live, show)[1]


def test_each_card_says_who_answered_how_fast_and_why_it_ended():
    shown = now(conversation_of(answer("A.", first_token_seconds=0.5, tokens_per_second=7), answer("B.", run="r")))
    assert ">Base<" in shown
    assert ">r · final<" in shown
    assert "2 tokens · first after 0.5 s · 7.0 tokens/s · ended by itself" in shown


def test_only_the_last_question_is_answered_again_and_voted_on():
    kept = conversation_of(answer("A."), answer("B.", run="r"))
    kept.ask("And?").answers[0].append(answer("C."))
    past, last = boards(kept)
    assert "retry_lane" not in past
    assert 'data-event="vote"' not in past
    assert 'data-event="why" data-value="0 1"' in past
    assert 'data-event="retry_lane" data-value="1 0"' in last
    assert "No answer yet." in last
    assert 'data-event="vote"' not in last, "one answer cannot be compared"


def test_only_what_was_cut_goes_on():
    assert "go_on" not in now(conversation_of(answer("A."), answer("B.", run="r")))
    assert 'data-event="go_on" data-value="0 1"' in now(
        conversation_of(answer("A."), answer("B.", run="r", end="length"))
    )


def test_tries_are_counted():
    kept = conversation_of(answer("A."), answer("B.", run="r"))
    kept.turns[0].answers[0].append(answer("A2."))
    shown = now(kept)
    assert "Earlier try (2)" in shown
    assert "A2." in shown
    assert "A.<" not in shown


def test_a_blind_round_shows_no_name_no_speed_and_another_order():
    kept = conversation_of(answer("A."), answer("B.", run="r"), blind=True, order=[1, 0, 2, 3])
    shown = now(kept)
    assert shown.index("B.") < shown.index("A.")
    assert "Answer A" in shown
    for told in (">Base<", "r · final", "tokens/s", 'data-event="why"'):
        assert told not in shown
    kept.turns[0].verdict, kept.turns[0].chosen = "left", "r · final"
    assert "Your vote: left (r · final)." in now(kept)


def test_differences_and_probabilities_are_marked_on_demand():
    kept = conversation_of(
        answer("the lamp is lit", pieces=["the lamp", " is lit"], logprobs=[0.0, -1.0]),
        answer("the lamp was lit", run="r"),
    )
    assert "<mark>" not in now(kept)
    assert "<mark>is</mark>" in now(kept, show=[DIFFERENCES])
    assert "<mark>was</mark>" in now(kept, show=[DIFFERENCES])
    assert 'title="36.8%"> is lit<' in now(kept, show=[PROBABILITIES])


def test_where_there_are_too_many_answers_to_vote_on_it_says_so():
    kept = conversation_of(answer("A."), answer("B.", run="r"))
    assert "Set Lanes to 2" not in now(kept)
    kept.lanes.append(LaneChoice(run="r"))
    assert "A vote compares two answers. Set Lanes to 2" in now(kept)
    assert 'data-event="vote"' not in now(kept)
    kept.turns[0].verdict = "tie"
    assert "Set Lanes to 2" not in now(kept)


def test_a_reference_stands_beside_the_answers():
    assert "Reference, from the held-out row" in now(conversation_of(answer("A."), None, reference="Red."))


def live_of(kept, *answers, lanes=(0, 1)):
    live = Live(kept, list(lanes), "page")
    live.ticket = QueueEntry(ResolvedLanes(None, []), generations=list(answers))
    return live


def test_what_is_being_written_can_be_stopped_lane_by_lane():
    kept = conversation_of()
    live = live_of(kept, Generation(text="A", tokens=1, seconds=1), Generation(text="B", tokens=2, end="end"))
    shown = last_board(live)
    assert 'data-event="stop_lane" data-value="0 0"' in shown
    assert 'data-event="stop_lane" data-value="0 1"' not in shown, "it has ended"
    assert 'data-event="vote"' not in shown
    assert "writing" in shown


def test_a_lane_that_is_not_asked_keeps_its_answer_and_has_no_buttons_meanwhile():
    kept = conversation_of(answer("A."), answer("B.", run="r"))
    shown = last_board(live_of(kept, Generation(text="New", tokens=1, seconds=1), lanes=(1,)))
    assert "A." in shown
    assert "New" in shown
    assert "B." not in shown
    assert 'data-event="retry_lane"' not in shown


def test_a_continued_answer_shows_what_was_there():
    kept = conversation_of(answer("Once upon", end="length"), None)
    live = live_of(kept, Generation(), lanes=(0,))
    live.before = {0: kept.turns[0].shown(0)}
    assert "Once upon" in last_board(live)


def test_what_was_left_out_of_a_long_conversation_is_said():
    assert "4 messages were left out" in now(conversation_of(answer("A.", note="4 messages were left out."), None))
