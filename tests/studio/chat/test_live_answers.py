from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components.chat_board import LIVE_PATH, AnswerCard, live_cards
from core.access.roles import Role
from core.chat.conversation import Conversation, Turn
from core.chat.queue_entry import QueueEntry
from core.chat.types import Generation, ResolvedLanes
from studio.chat.in_progress import AnswersInProgress
from studio.chat.live_answers import SECONDS_BETWEEN_READS, THROTTLED_SECONDS, LiveAnswers


class OneChat:
    """Conversations of which one may be answered."""

    def __init__(self):
        self.engine = SimpleNamespace(throttle=SimpleNamespace(is_active=False))
        self.answers = None

    def in_progress(self, chat_id):
        return self.answers if self.answers and self.answers.conversation.id == chat_id else None

    def count_in_progress(self):
        return 1


@pytest.fixture
def chats():
    return OneChat()


def begin(chats, *texts):
    answers = AnswersInProgress(Conversation(id="c", turns=[Turn(prompt="Q")]), list(range(len(texts))), "page")
    generations = [Generation(text=text, tokens=len(text), seconds=1.0) for text in texts]
    answers.entry = QueueEntry(ResolvedLanes(None, []), generations=generations)
    chats.answers = answers
    return generations


def read(chats, known=None, key=None):
    return LiveAnswers(chats).read(chats.answers.live_key if key is None else key, known or {})


def test_read_gives_only_what_the_page_does_not_have(chats):
    lighthouse, _ = begin(chats, "A" * 1_000, "B")
    first, second = read(chats)["cards"]
    assert (first["key"], first["at"], len(first["text"])) == ("0 0", 0, 1_000)
    assert (second["key"], second["text"]) == ("0 1", "B")
    assert "tokens" in second["facts"]
    lighthouse.text += "C"
    first = read(chats, {"0 0": 1_000})["cards"][0]
    assert first["text"].endswith("AC")
    assert len(first["text"]) < 200


def test_read_new_answers_begins_again_for_a_page_that_shows_earlier_ones(chats):
    begin(chats, "Earlier, and long.")
    key = chats.answers.live_key
    begin(chats, "Now.")
    assert read(chats, {"0 0": 18}, key)["cards"][0] == read(chats)["cards"][0]


def test_read_nothing_is_written_returns_none(chats):
    assert LiveAnswers(chats).read("c 1", {}) is None
    begin(chats, "A")
    assert read(chats, key="another 1") is None
    assert read(chats, key="") is None


def test_read_beside_a_training_run_asks_pages_to_wait(chats):
    begin(chats, "A")
    assert read(chats)["wait"] == SECONDS_BETWEEN_READS
    chats.engine.throttle.is_active = True
    assert read(chats)["wait"] == THROTTLED_SECONDS


def test_read_blind_answers_hides_their_speed(chats):
    begin(chats, "A", "B")
    chats.answers.conversation.turns[0].blind = True
    assert [card["facts"] for card in read(chats)["cards"]] == ["", ""]


# A text grows, and at each reading its last characters may have changed, as far as the decoder leaves them open.
@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=128)), min_size=1, max_size=6))
def test_live_cards_a_page_that_reads_them_has_the_text(pieces):
    settled, shown = "", ""
    for piece, pending in pieces:
        settled += piece
        text = settled + pending
        (card,) = live_cards([AnswerCard("", text, "k")], {"k": len(shown)})
        shown = shown[: card["at"]] + card["text"]
        assert shown == text


@pytest.fixture
def page(chats):
    blocks = SimpleNamespace(
        caller_of=lambda request: SimpleNamespace(role=Role(request.headers.get("x-role", "owner")))
    )
    begin(chats, "Hello")
    return TestClient(Starlette(routes=[LiveAnswers(chats).route(blocks)]), headers={"X-Live": chats.answers.live_key})


def test_route_answers_with_json_that_is_never_stored(page):
    answer = page.get(LIVE_PATH, params={"known": "{}"})
    assert answer.json()["cards"][0]["text"] == "Hello"
    assert answer.headers["cache-control"] == "no-store"


def test_route_nothing_is_written_is_no_error(page):
    assert page.get(LIVE_PATH, headers={"X-Live": "nothing"}).status_code == 204


def test_route_without_a_password_is_refused(page):
    assert page.get(LIVE_PATH, headers={"x-role": Role.SIGNED_OUT}).status_code == 401


@pytest.mark.parametrize(
    "known",
    ["[]", "{", "1", '{"0 0": "1"}', '{"0 0": true}', "[" * 900, '{"a":1,"b":1,"c":1,"d":1,"e":1}', " " * 2_000],
)
def test_route_malformed_request_is_refused_with_what_is_expected(page, known):
    answer = page.get(LIVE_PATH, params={"known": known})
    assert answer.status_code == 400
    assert "CHARACTERS" in answer.json()["error"]


@pytest.mark.parametrize("known", ['{"0 0": -5}', '{"0 0": 99999999999999999999}', '{"other": 3}', ""])
def test_route_numbers_that_fit_no_text_give_the_whole_text(page, known):
    assert page.get(LIVE_PATH, params={"known": known}).json()["cards"][0]["text"] == "Hello"
