"""Output of the commands for runs and models; every mistake is one sentence and exit code 2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
    """Return a finished run that exists only as files."""
    model = embedded.folder(home)
    model.mkdir(parents=True, exist_ok=True)
    if not (model / "config.json").is_file():
        (model / "config.json").write_text("{}")
    made = RunStore(home).create(QLoRAConfig(lora_rank=3))
    made.save_state(RunState(status="finished", created=1, ended=2))
    step = {"event": "step", "step": 1, "total": 1, "loss": "nan", "tokens_per_second": 12.3}
    output = [{"event": "stage", "text": "Loading"}, {"event": "eval", "step": 0, "loss": 3.5}, step, {"event": "done"}]
    made.events_file.write_text("".join(json.dumps(event) + "\n" for event in output))
    return made


# Help


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_command_help_prints_its_usage(run_command, command):
    code, out, err = run_command(*command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m core")


def test_command_without_arguments_prints_help(run_command):
    assert run_command()[1] == run_command("--help")[1]


def entries(help_text):
    """Return the description of each option and argument in a help text, by name."""
    found = re.findall(r"^  (?:--)?([\w-]+)(.*(?:\n {4,}.*)*)", help_text, re.MULTILINE)
    return {name.lower(): " ".join(words.split()) for name, words in found}


@pytest.mark.parametrize(("command", "model"), [("train", Train), ("chat", Chat)])
def test_help_lists_every_option_with_its_description(run_command, command, model):
    output = entries(run_command(command, "--help")[1])
    for name, field in model.model_fields.items():
        assert field.description in output[name.replace("_", "-")]


def test_train_has_an_option_for_every_setting():
    assert set(QLoRAConfig.model_fields) <= set(Train.model_fields)


# Successful commands


def test_models_list_prints_the_available_models(ok, home):
    listed = [line.split()[0] for line in ok("models", "list").splitlines()]
    assert listed == [model.name for model in catalogue.available(home)]
    assert listed[0] == embedded.NAME


def test_runs_list_show_and_follow_print_a_finished_run(ok, run):
    assert ok("runs", "list").split() == [run.id, "finished", *run.title.split()]
    shown = ok("runs", "show", run.id)
    assert shown.startswith(f"{run.id}: finished")
    assert '"lora_rank": 3' in shown
    followed = ok("runs", "follow", run.id)
    events = "Loading\nstep 0  held-out loss 3.5000\nstep 1/1  loss nan  12 tokens/s\n"
    assert followed == f"{events}finished: {run.adapter}\n"
    assert shown.endswith(events)


def test_runs_list_empty_home_prints_nothing(ok):
    assert ok("runs", "list") == ""


# Mistakes


MISTAKES = {
    "a preset and a file": (["train", "--preset", "Quick demo", "--config", "x.yaml"], "not from both"),
    "a file that is not there": (["train", "--config", "none.yaml"], "cannot be read (No such file or directory)"),
    "a resumed run that is done": (["runs", "resume", "nope"], "no run 'nope'"),
    "a maximum length of 0": (["train", "--max-length", "0"], "given: '0'"),
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
def test_runs_mistake_prints_one_sentence_and_exits_with_2(run_command, home, list_files, words, complaint):
    if words[0] == "train" and "--model" not in words:
        embedded.folder(home).mkdir(parents=True)
        (embedded.folder(home) / "config.json").write_text("{}")
    before = list_files()
    code, out, err = run_command(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert list_files() == before, "a failed command must leave no files"


def test_train_reports_all_problems_of_a_run_and_creates_none(run_command, home):
    embedded.folder(home).mkdir(parents=True)
    (embedded.folder(home) / "config.json").write_text("{}")
    code, out, err = run_command("train", "--subset", "nope")
    assert (code, out) == (2, "")
    assert "no subset 'nope'" in err
    assert "config.json cannot be read" in err
    assert RunStore(home).runs() == []


def test_train_two_invalid_options_are_both_reported(run_command):
    code, _, err = run_command("train", "--max-length", 0, "--lora-rank", 0)
    assert code == 2
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("words", [["nonsense"], ["data", "nonsense"], ["data", "rows"], ["train", "--nonsense", "1"]])
def test_unknown_command_or_option_exits_with_2(run_command, words):
    code, out, err = run_command(*words)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_runs_stop_ended_run_fails(run_command, run):
    assert run_command("runs", "stop", run.id)[::2] == (
        2,
        f"The run {run.id} is finished: there is nothing to stop.\n",
    )


def test_runs_stop_queued_run_removes_it_from_the_queue(ok, run):
    run.save_state(RunState(status="queued", created=1))
    assert ok("runs", "stop", run.id) == "The run is removed from the queue.\n"
    assert (run.state().status, run.state().cause) == ("stopped", "Removed from the queue.")
    assert not run.stop_request.exists()


def test_runs_follow_prints_every_event_of_a_resumed_run_once(ok, run, monkeypatch):
    """The second attempt of a killed run begins while its events are followed."""
    step = lambda at: {"event": "step", "step": at, "total": 9, "loss": 1.0}  # noqa: E731
    attempts = [
        [step(at) for at in range(1, 26)],
        [{"event": "stage", "text": "Loading again"}, {"event": "resumed", "step": 20}, step(21), step(22)],
        [step(23), {"event": "done"}],
    ]
    run.events_file.write_text("")
    states = [RunState(status="running", created=1)] * 2 + [RunState(status="finished", created=1)]

    def state(self):
        """Write the next events, as a worker does between two looks at the state."""
        write(run, attempts.pop(0))
        return states.pop(0)

    monkeypatch.setattr("core.runs.store.Run.state", state)
    monkeypatch.setattr("core.cli.runs.time", SimpleNamespace(sleep=lambda seconds: None))
    *printed, last = ok("runs", "follow", run.id).splitlines()
    steps = [f"step {at}/9  loss 1.0000  – tokens/s" for at in range(1, 26)]
    assert printed == [*steps, "Loading again", "continues from step 20", *steps[20:23]]
    assert last.startswith("finished")


@pytest.mark.parametrize(("status", "words"), [("failed", "failed"), ("interrupted", "was interrupted")])
def test_runs_follow_unfinished_run_prints_its_cause(run_command, run, status, words):
    run.save_state(RunState(status=status, cause="The disk is full.", created=1, ended=2))
    code, _, err = run_command("runs", "follow", run.id)
    assert (code, err) == (2, f"The run {run.id} {words}: The disk is full.\n")


def test_runs_show_prints_missing_and_non_finite_metrics(ok, run):
    steps = [{"loss": None}, {"loss": "inf", "tokens_per_second": "nan"}]
    lines = [{"event": "step", "step": at, "total": 2} | values for at, values in enumerate(steps, 1)]
    run.events_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert ok("runs", "show", run.id).endswith("step 1/2  loss –  – tokens/s\nstep 2/2  loss inf  nan tokens/s\n")


def test_environment_variable_named_like_a_command_is_ignored(ok, monkeypatch):
    monkeypatch.setenv("DATA", '{"list": 1}')
    monkeypatch.setenv("TRAIN", "x")
    assert ok("runs", "list") == ""


# As a process


def run_process(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "core", *words],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_core_process_exits_with_0_or_2(home):
    fine = run_process("runs", "list", STUDIO_HOME=str(home.home))
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    wrong = run_process("runs", "show", "../x", STUDIO_HOME=str(home.home))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("'../x' cannot be used as a run id.")
    assert len(wrong.stderr.splitlines()) == 1


def test_home_that_cannot_be_created_names_the_variable(tmp_path):
    (tmp_path / "file").touch()
    done = run_process("data", "list", STUDIO_HOME=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "STUDIO_HOME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_train_config_file_starts_a_run_and_check_starts_none(run_command, ok, studio, run, tmp_path, monkeypatch):
    path = tmp_path / "run.yaml"
    path.write_text(ok("runs", "yaml", run.id))
    assert "lora_rank: 3" in path.read_text()
    assert "fine: keeper: 306 rows to train on" in ok("train", "--config", path, "--check")
    code, out, err = run_command("train", "--config", path, "--check", "--max-length", "100000")
    assert code == 2
    assert "problem: Maximum length 100,000" in out
    assert "Fix 1 problem before" in err
    assert len(RunStore(studio).runs()) == 1
    submitted = []
    monkeypatch.setattr("core.cli.runs.process.submit", lambda store, config: submitted.append(config) or run)
    ok("train", "--config", path, "--max-steps", "5", "--detach")
    assert submitted == [QLoRAConfig(lora_rank=3, max_steps=5)]


def test_runs_label_and_resume_validate_their_values(run_command, ok, run):
    ok("runs", "label", run.id, "--name", "First", "--tags", "a", "--tags", "b")
    assert "First" in ok("runs", "list")
    assert run.label().tags == ["a", "b"]
    assert run_command("runs", "resume", run.id)[2].strip().endswith("There is nothing left to do; give it more steps.")
    assert "'rank' is not a setting=value" in run_command("runs", "resume", run.id, "--set", "rank=3")[2]
    assert "Rank cannot change" in run_command("runs", "resume", run.id, "--set", "lora_rank=9")[2]
    assert "given: 'x'" in run_command("runs", "resume", run.id, "--set", "max_steps=x")[2]
    assert "nothing to stop" in run_command("runs", "kill", run.id)[2]


def test_runs_compare_and_report_show_metrics_and_differences(ok, run, home):
    other = RunStore(home).create(QLoRAConfig(lora_rank=32))
    write(other, EVENTS)
    lines = ok("runs", "compare", run.id, other.id, "--by", "best_loss").splitlines()
    assert (
        f"{other.id}  {other.title}  queued  held-out 3.0000  base 4.0000  loss 3.2500  (held-out loss not comparable: "
        "another chat template)  3,000 tokens in 2 s" == lines[0]
    )
    assert lines[1].startswith(f"{run.id}  ")
    assert "Rank: 3 | 32" in lines[2:]
    assert other.id in ok("runs", "compare")
    page = Path(ok("runs", "report", other.id).strip())
    assert page.read_text().startswith("# ")
