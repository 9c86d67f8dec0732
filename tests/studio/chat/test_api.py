"""The endpoint /chat."""

import pytest

from core.errors import StudioError
from studio.chat.api import build_chat_call


def test_chat_answers_in_every_lane(parts, tuned):
    run = tuned(steps=(5,))
    call = build_chat_call(parts.conversations.engine)
    settings = {"temperature": 0, "max_new_tokens": 5}
    lanes = ["base", run.id, f"{run.id}/step 5"]
    answers = call("Name a color.", lanes, settings)
    assert [answer["model"] for answer in answers] == lanes
    assert len({answer["text"] for answer in answers}) == 3
    assert {answer["tokens"] for answer in answers} <= {1, 2, 3, 4, 5}
    alone = call("Name a color.", ["base"], settings)
    assert alone[0]["text"] == answers[0]["text"], "base alone is the base of the newest run"


@pytest.mark.parametrize(("prompt", "lanes", "given", "message"), [
    ("Hi.", [], {}, "Expected a list of one to 4"),
    ("Hi.", "base", {}, "Expected a list of one to 4"),
    ("Hi.", ["base"] * 5, {}, "Expected a list of one to 4"),
    (["Hi."], ["base"], {}, "The prompt must be a text"),
    ("Hi.", ["base"], [1], "The prompt must be a text"),
    (" ", ["base"], {}, "prompt is empty"),
    ("Hi.", ["none-such"], {}, "none-such"),
    ("Hi.", ["../x"], {}, r"\.\."),
    ("Hi.", ["base/step 5"], {}, "There is no lane 'base/step 5'"),
    ("Hi.", [""], {}, "There is no lane ''"),
    ("Hi.", ["/final"], {}, "There is no lane '/final'"),
    ("Hi.", ["base"], {"temperature": 9}, "Temperature"),
    ("Hi.", ["base"], {"heat": 1}, "heat"),
])  # fmt: skip
def test_chat_invalid_call_raises_studio_error(parts, tuned, prompt, lanes, given, message):
    tuned()
    with pytest.raises(StudioError, match=message):
        build_chat_call(parts.conversations.engine)(prompt, lanes, given)
