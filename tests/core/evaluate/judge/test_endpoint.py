"""Tests of core.evaluate.judge.endpoint, with a real client and a server on loopback."""

import itertools
import threading
import time

import pytest

from core.errors import StudioError
from core.evaluate.judge.endpoint import KEY_VARIABLE, EndpointJudge, JudgeError
from core.evaluate.judge.judging import Pair, judge, judgments_file, read_judgments
from core.evaluate.judge.summary import summarize
from tests.helpers.judge_server import dripping_server, judge_server
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
        ((200, "[" * 200_000), "is not one of a chat model"),
        ((200, '{"choices": {"0": 1}}'), "is not one of a chat model"),
        ((200, '{"choices": [{"message": {"content": ["A"]}}]}'), "its content is no text: list"),
        ((200, '{"choices": [{"message": {"content": 5}}]}'), "its content is no text: int"),
        ((200, " " * 1_100_000), "more than 1,048,576 bytes"),
        ((200, "{}", {"Content-Encoding": "gzip"}), "is compressed"),
        ("", "is empty"),
    ],
)
def test_other_replies_are_errors_without_the_key(reply, text):
    with judge_server(lambda body: reply) as server:
        client = EndpointJudge(server.url, "m", SECRET)
        with pytest.raises(JudgeError, match=text) as caught:
            client.ask([{"role": "user", "content": "?"}])
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_and_the_next_server_gets_nothing(status):
    asked = []
    with (
        judge_server(lambda body: asked.append(body) or "A") as other,
        judge_server(lambda body: (status, "", {"Location": f"{other.url}/chat/completions"})) as server,
        pytest.raises(JudgeError, match="refers to another address, which is not followed"),
    ):
        EndpointJudge(server.url, "m", SECRET).ask([{"role": "user", "content": "?"}])
    assert asked == []


def test_half_of_a_character_in_a_reply_is_replaced_because_no_file_can_hold_it():
    body = '{"choices": [{"message": {"content": "\\ud800A"}}]}'
    with judge_server(lambda _: (200, body)) as server:
        assert EndpointJudge(server.url, "m").ask([{"role": "user", "content": "?"}]) == "\ufffdA"


OK = b"HTTP/1.1 200 OK\r\n"
# By name: what a server sends at once, and what it then sends for ever.
DRIPS = {
    "status": (b"HTTP/1.1 2", b"0"),
    "header": (OK + b"X: ", b"a"),
    "early replies": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of an early reply": (b"HTTP/1.1 103 Early Hints\r\n", b"A: b\r\n"),
    "body": (OK + b"Content-Length: 900000\r\n\r\n", b" "),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    "body without an end": (OK + b"\r\n", b" "),
    "body of an error": (b"HTTP/1.1 500 Busy\r\nContent-Length: 900000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_reply_whose_parts_arrive_for_ever_is_left_after_the_time_limit(monkeypatch, name):
    monkeypatch.setattr("core.evaluate.judge.endpoint._MAX_RETRIES", 0)
    began = time.monotonic()
    with dripping_server(*DRIPS[name]) as url, pytest.raises(JudgeError, match="no reply within the time limit"):
        EndpointJudge(url, "m", timeout=0.3).ask([{"role": "user", "content": "?"}])
    # Without a limit of all parts together, the shortest of these would take hours.
    assert time.monotonic() - began < 10


def test_each_request_of_a_connection_has_the_whole_time():
    def waits(body):
        time.sleep(0.3)
        return "A"

    with judge_server(waits) as server:
        client = EndpointJudge(server.url, "m", timeout=0.9)
        assert [client.ask([{"role": "user", "content": "?"}]) for _ in range(4)] == ["A"] * 4


def test_proxy_of_the_environment_has_the_time_limit_too(monkeypatch):
    monkeypatch.setattr("core.evaluate.judge.endpoint._MAX_RETRIES", 0)
    with dripping_server(*DRIPS["header"]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.removesuffix("/v1"))
        with pytest.raises(JudgeError, match="no reply within the time limit"):
            EndpointJudge("http://judge.invalid/v1", "m", timeout=0.3).ask([{"role": "user", "content": "?"}])


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
