import pytest

from core.errors import StudioError
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.judge_panel import HERE, SERVER, JudgeActions
from tests.helpers.judge_server import judge_server
from tests.helpers.judged_evaluation import PROMPTS, judged_evaluation

SECRET = "secret-key-of-the-judge"


@pytest.fixture
def do(settings, tmp_path):
    store, evaluation = judged_evaluation(settings, tmp_path)
    jobs = Jobs()
    yield JudgeActions(EvaluationView(store), jobs), evaluation
    jobs.close()


def test_a_server_judges_and_the_counts_are_shown(do):
    actions, evaluation = do
    assert actions.show(evaluation.id) == {"judged": ""}
    with judge_server(lambda body: "A" if "[Answer A]\ngood" in body["messages"][1]["content"] else "B") as server:
        *_, last = actions.judge(evaluation.id, SERVER, None, server.url, "<b>judge</b>", SECRET)
        assert set(server.keys) == {f"Bearer {SECRET}"}
    assert f"{PROMPTS} won, 0 lost, 0 tied of {PROMPTS} rows" in last["judged"]
    assert "<b>judge" not in last["judged"]
    assert not any(SECRET.encode() in path.read_bytes() for path in evaluation.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ((HERE, None, "", "", ""), "No judge is chosen"),
        ((SERVER, None, "https://host/v1", " ", ""), "No judge is chosen"),
        ((SERVER, None, "file:///etc/passwd", "m", ""), "is no address of a judge"),
        ((HERE, "no-such-model", "", "", ""), "no-such-model"),
    ],
)
def test_what_cannot_judge_is_refused_with_a_sentence(do, fields, text):
    actions, evaluation = do
    with pytest.raises(StudioError, match=text):
        list(actions.judge(evaluation.id, *fields))


def test_no_evaluation_is_refused(do):
    with pytest.raises(StudioError, match="No evaluation is selected"):
        list(do[0].judge(None, HERE, "m", "", "", ""))


def test_fields_follow_the_kind_of_judge(do):
    shown = do[0].show_kind(SERVER)
    assert {name: update["visible"] for name, update in shown.items()} == {
        "local": False, "url": True, "model": True, "key": True,
    }  # fmt: skip
