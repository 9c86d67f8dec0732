"""Tests of core.evaluate.judge.endpoint, with a real client and a server on loopback."""

import itertools
import threading

import pytest

from core.errors import StudioError
from core.evaluate.judge.endpoint import KEY_VARIABLE, EndpointJudge, JudgeError
from core.evaluate.judge.judging import Pair, judge, judgments_file, read_judgments
from core.evaluate.judge.summary import summarize
from tests.helpers.judge_server import judge_server
from tests.helpers.judged_evaluation import PROMPTS

SECRET = "secret-key-of-the-judge"


def test_evaluation_is_judged_over_http_and_the_key_is_stored_nowhere(judged, monkeypatch, caplog):
    _, evaluation = judged
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    pair = Pair(0, 1, "gpt-test")
    with judge_server(lambda body: "A" if "[Answer A]\ngood" in body["messages"][1]["content"] else "B") as server:
        client = EndpointJudge(server.url, "gpt-test")
        judge(evaluation, pair, client.ask)
        client.close()
        assert set(server.keys) == {f"Bearer {SECRET}"}
    assert summarize(read_judgments(evaluation, pair), {}).wins == PROMPTS
    files = [path for path in evaluation.folder.rglob("*") if path.is_file()]
    assert judgments_file(evaluation, pair) in files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert SECRET not in caplog.text


def test_a_busy_server_is_asked_again(judged):
    replies = itertools.chain([(429, "{}"), (503, "{}")], itertools.repeat("B"))
    with judge_server(lambda body: next(replies)) as server:
        assert EndpointJudge(server.url, "m").ask([{"role": "user", "content": "?"}]) == "B"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ((401, f'{{"error": {{"message": "wrong key {SECRET}"}}}}'), "status 401"),
        ((404, '{"error": {"message": "no such model"}}'), "status 404: .*no such model"),
        ((200, "<html>busy</html>"), "is not one of a chat model"),
        ((200, '{"choices": []}'), "is not one of a chat model"),
        ((200, '{"choices": [{"message": {"content": null}}]}'), "is empty"),
        ((200, "[1, 2]"), "is not one of a chat model"),
        ("", "is empty"),
    ],
)
def test_other_replies_are_errors_without_the_key(reply, text):
    with judge_server(lambda body: reply) as server:
        client = EndpointJudge(server.url, "m", SECRET)
        with pytest.raises(JudgeError, match=text) as caught:
            client.ask([{"role": "user", "content": "?"}])
        assert SECRET not in str(caught.value)


def test_a_slow_server_is_left_after_the_time_limit(monkeypatch):
    ended = threading.Event()

    def waits(body):
        ended.wait(20)
        return "A"

    monkeypatch.setattr("core.evaluate.judge.endpoint._MAX_RETRIES", 0)
    with judge_server(waits) as server:
        with pytest.raises(JudgeError, match="no reply within the time limit"):
            EndpointJudge(server.url, "m", timeout=0.2).ask([{"role": "user", "content": "?"}])
        ended.set()


def test_no_server_is_a_sentence(monkeypatch):
    monkeypatch.setattr("core.evaluate.judge.endpoint._MAX_RETRIES", 0)
    with judge_server(lambda body: "A") as server:
        url = server.url
    with pytest.raises(JudgeError, match="no connection to http://127"):
        EndpointJudge(url, "m").ask([{"role": "user", "content": "?"}])


@pytest.mark.parametrize(
    "url", ["", "file:///etc/passwd", "ftp://host/v1", "api.example.com", "http://", "javascript:x"]
)
def test_other_addresses_are_refused(url):
    with pytest.raises(StudioError, match="is no address of a judge"):
        EndpointJudge(url, "m")


def test_a_secret_in_the_address_and_a_missing_model_are_refused():
    with pytest.raises(StudioError, match="contains a secret"):
        EndpointJudge("https://user:password@host/v1", "m")
    with pytest.raises(StudioError, match="model is empty"):
        EndpointJudge("https://host/v1", " ")
