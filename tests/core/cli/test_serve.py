"""`python -m core serve`: models that it lists, and what it refuses before it listens."""

import io
import logging
from types import SimpleNamespace

import pytest

from core.cli import main, serve
from core.runs.config import QLoRAConfig
from core.runs.store import RunState
from core.serve import server


@pytest.fixture
def run(runs, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(runs.settings.home))
    made = runs.create(QLoRAConfig())
    made.save_state(RunState(status="finished", created=1.0, ended=2.0))
    made.adapter.mkdir()
    (made.adapter / "adapter_config.json").write_text("{}")
    return made


def test_models_are_listed_and_the_server_runs(run, capsys, monkeypatch):
    monkeypatch.setattr(server._Server, "run", lambda self: print(f"runs at port {self.config.port}"))
    codes = []
    # Not `os._exit` itself: forked children must be able to end.
    monkeypatch.setattr(serve, "os", SimpleNamespace(_exit=codes.append))
    main(["serve", run.id, "--port", "20001"])
    assert codes == [0]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [run.config().model, run.id, "runs"]
    assert lines[-1] == "runs at port 20001"


class ClosingHandler(logging.StreamHandler):
    """Like absl's handler, which closes the stream that was stderr when it was made."""

    def close(self):
        self.stream.close()
        super().close()


def test_handlers_of_other_libraries_stay_open(run, monkeypatch):
    monkeypatch.setattr(server._Server, "run", lambda self: None)
    monkeypatch.setattr(serve, "os", SimpleNamespace(_exit=lambda code: None))
    handler = ClosingHandler(io.StringIO())
    main(["serve", run.id, "--port", "20001"])
    assert not handler.stream.closed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--host", "0.0.0.0"], "Set STUDIO_API_KEY to a long random text"),
        (["RUN", "--port", "99999"], "There is no port 99999"),
        (["no-such-run"], "no-such-run"),
        ([], "runs"),
    ],
)
def test_refusal_is_a_sentence(run, capsys, arguments, message):
    try:
        code = main(["serve", *(run.id if each == "RUN" else each for each in arguments)])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message.lower() in capsys.readouterr().err.lower()
