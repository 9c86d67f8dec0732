"""The command line: what each command prints, and that every mistake is one sentence and exit code 2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import Chat, Train
from core.cli.data import Data
from core.cli.runs import Runs
from core.models import catalogue, embedded
from core.runs.config import QLoRAConfig
from core.runs.presets import PRESETS
from core.runs.store import RunState, RunStore
from tests.helpers.run_events import EVENTS, write

PROJECT = Path(__file__).resolve().parents[3]
COMMANDS = {
    "data": [*Data.model_fields],
    "train": [],
    "chat": [],
    "runs": [*Runs.model_fields],
    "models": ["list", "prepare"],
}
EVERY_COMMAND = [[], *([name] for name in COMMANDS), *([a, b] for a, inner in COMMANDS.items() for b in inner)]


@pytest.fixture
def run(home):
    """A finished run, as files."""
    model = embedded.folder(home)
    model.mkdir(parents=True, exist_ok=True)
    if not (model / "config.json").is_file():
        (model / "config.json").write_text("{}")
    made = RunStore(home).create(QLoRAConfig(lora_rank=3))
    made.save_state(RunState(status="finished", created=1, ended=2))
    step = {"event": "step", "step": 1, "total": 1, "loss": "nan", "tokens_per_second": 12.3}
    said = [{"event": "stage", "text": "Loading"}, {"event": "eval", "step": 0, "loss": 3.5}, step, {"event": "done"}]
    made.events_file.write_text("".join(json.dumps(event) + "\n" for event in said))
    return made


# Help


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_every_command_has_help(say, command):
    code, out, err = say(*command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m core")


def test_no_words_at_all_show_the_help(say):
    assert say()[1] == say("--help")[1]


def entries(help_text):
    """What the help says of each option and argument, by its name."""
    found = re.findall(r"^  (?:--)?([\w-]+)(.*(?:\n {4,}.*)*)", help_text, re.MULTILINE)
    return {name.lower(): " ".join(words.split()) for name, words in found}


@pytest.mark.parametrize(("command", "model"), [("train", Train), ("chat", Chat)])
def test_help_names_every_option_with_its_description(say, command, model):
    said = entries(say(command, "--help")[1])
    for name, field in model.model_fields.items():
        assert field.description in said[name.replace("_", "-")]


def test_every_knob_is_an_option_of_train():
    assert set(QLoRAConfig.model_fields) <= set(Train.model_fields)


# What works


def test_models_are_listed(ok, home):
    listed = [line.split()[0] for line in ok("models", "list").splitlines()]
    assert listed == [model.name for model in catalogue.available(home)]
    assert listed[0] == embedded.NAME


def test_runs_are_listed_shown_and_followed_to_their_end(ok, run):
    assert ok("runs", "list").split() == [run.id, "finished"]
    shown = ok("runs", "show", run.id)
    assert shown.startswith(f"{run.id}: finished")
    assert '"lora_rank": 3' in shown
    followed = ok("runs", "follow", run.id)
    events = "Loading\nstep 0  held-out loss 3.5000\nstep 1/1  loss nan  12 tokens/s\n"
    assert followed == f"{events}finished: {run.adapter}\n"
    assert shown.endswith(events)


def test_an_empty_home_has_no_runs(ok):
    assert ok("runs", "list") == ""


# What is refused


MISTAKES = {
    "a preset and a file": (["train", "--preset", "Quick demo", "--config", "x.yaml"], "not from both"),
    "a file that is not there": (["train", "--config", "none.yaml"], "cannot be read as text"),
    "a resumed run that is done": (["runs", "resume", "nope"], "no run 'nope'"),
    "a maximum length of 0": (["train", "--max-length", "0"], "given: '0'"),
    "an unknown subset": (["train", "--subset", "nope"], "no subset 'nope'"),
    "an unknown model": (["train", "--model", "nope"], "no model 'nope'"),
    "an unknown preset": (["train", "--preset", "nope"], ", ".join(map(repr, [*PRESETS][:-1]))),
    "no target modules": (["train", "--lora-targets", ","], "'all-linear', 'attention', 'mlp' or module names"),
    "an unknown run": (["runs", "show", "nope"], "no run 'nope'"),
    "following an unknown run": (["runs", "follow", "nope"], "no run 'nope'"),
    "stopping an unknown run": (["runs", "stop", "nope"], "no run 'nope'"),
    "a path as a run": (["runs", "show", "../x"], "'../x' cannot be used as a run id"),
    "stopping a path": (["runs", "stop", "../x"], "'../x' cannot be used as a run id"),
    "asking an unknown run": (["chat", "nope", "Hi."], "no run 'nope'"),
    "too hot a question": (["chat", "nope", "Hi.", "--temperature", "9"], "given: '9'"),
}


@pytest.mark.parametrize(("words", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(say, home, things, words, complaint):
    if words[0] == "train" and "--model" not in words:
        embedded.folder(home).mkdir(parents=True)
        (embedded.folder(home) / "config.json").write_text("{}")
    before = things()
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert things() == before, "nothing is left behind"


def test_two_mistakes_are_told_at_once(say):
    code, _, err = say("train", "--max-length", 0, "--lora-rank", 0)
    assert code == 2
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("words", [["nonsense"], ["data", "nonsense"], ["data", "rows"], ["train", "--nonsense", "1"]])
def test_words_that_are_no_command_are_refused(say, words):
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_an_ended_run_cannot_be_stopped(say, run):
    assert say("runs", "stop", run.id)[::2] == (
        2,
        f"The run {run.id} is finished: there is nothing to stop.\n",
    )


def test_following_a_failed_run_ends_with_its_cause(say, run):
    run.save_state(RunState(status="failed", cause="The disk is full.", created=1, ended=2))
    code, _, err = say("runs", "follow", run.id)
    assert (code, err) == (2, f"The run {run.id} failed: The disk is full.\n")


def test_an_environment_variable_of_a_commands_name_is_not_read(ok, monkeypatch):
    monkeypatch.setenv("DATA", '{"list": 1}')
    monkeypatch.setenv("TRAIN", "x")
    assert ok("runs", "list") == ""


# As a process


def child(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "core", *words],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_process_ends_with_0_or_2(home):
    fine = child("runs", "list", STUDIO_HOME=str(home.home))
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    wrong = child("runs", "show", "../x", STUDIO_HOME=str(home.home))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("'../x' cannot be used as a run id.")
    assert len(wrong.stderr.splitlines()) == 1


def test_a_home_that_cannot_be_made_is_told_with_the_variable(tmp_path):
    (tmp_path / "file").touch()
    done = child("data", "list", STUDIO_HOME=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "STUDIO_HOME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_starts_from_its_own_yaml_and_a_check_starts_nothing(say, ok, studio, run, tmp_path, monkeypatch):
    path = tmp_path / "run.yaml"
    path.write_text(ok("runs", "yaml", run.id))
    assert "lora_rank: 3" in path.read_text()
    assert "fine: keeper: 306 rows to train on" in ok("train", "--config", path, "--check")
    code, out, err = say("train", "--config", path, "--check", "--max-length", "100000")
    assert code == 2
    assert "problem: Maximum length 100,000" in out
    assert "1 problem to mend" in err
    assert len(RunStore(studio).runs()) == 1
    asked = []
    monkeypatch.setattr("core.cli.runs.process.submit", lambda store, config: asked.append(config) or run)
    ok("train", "--config", path, "--max-steps", "5", "--detach")
    assert asked == [QLoRAConfig(lora_rank=3, max_steps=5)]


def test_a_run_is_named_tagged_and_resumed_by_knob(say, ok, run):
    ok("runs", "label", run.id, "--name", "First", "--tags", "a", "--tags", "b")
    assert "First" in ok("runs", "list")
    assert run.label().tags == ["a", "b"]
    assert say("runs", "resume", run.id)[2].strip().endswith("There is nothing left to do; give it more steps.")
    assert "'rank' is no knob=value" in say("runs", "resume", run.id, "--set", "rank=3")[2]
    assert "Rank cannot change" in say("runs", "resume", run.id, "--set", "lora_rank=9")[2]
    assert "given: 'x'" in say("runs", "resume", run.id, "--set", "max_steps=x")[2]
    assert "nothing to kill" in say("runs", "kill", run.id)[2]


def test_runs_are_compared_and_reported_on(ok, run, home):
    other = RunStore(home).create(QLoRAConfig(lora_rank=32))
    write(other, EVENTS)
    lines = ok("runs", "compare", run.id, other.id, "--by", "best_loss").splitlines()
    assert f"{other.id}  queued  held-out 3.0000  base 4.0000  loss 3.2500  3,000 tokens in 2 s" == lines[0]
    assert lines[1].startswith(f"{run.id}  ")
    assert "Rank: 3 | 32" in lines[2:]
    assert other.id in ok("runs", "compare")
    page = Path(ok("runs", "report", other.id).strip())
    assert page.read_text().startswith("# ")
