"""The command line: what each command prints, and that every mistake is one sentence and exit code 2."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core.cli import Chat, Train, main
from core.data import subset, table
from core.models import catalogue, embedded
from core.runs.config import QLoRAConfig
from core.runs.presets import PRESETS
from core.runs.store import RunState, RunStore

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "data": ["list", "open", "rows", "show", "cut", "export"],
    "train": [],
    "chat": [],
    "runs": ["list", "show", "follow", "stop"],
    "models": ["list", "prepare"],
}
EVERY_COMMAND = [[], *([name] for name in COMMANDS), *([a, b] for a, inner in COMMANDS.items() for b in inner)]


@pytest.fixture
def home(settings, monkeypatch):
    """An opened data set in a home that the command line finds by itself."""
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    monkeypatch.setenv("COLUMNS", "100000")  # no help text is wrapped
    subset.ensure_bundled(settings)
    return settings


@pytest.fixture
def keeper(home):
    return table.opened_datasets(home)[0]


@pytest.fixture
def say(home, capsys):
    """Run a command in this process: its exit code, what it printed, what it complained of."""

    def run(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:  # --help, and what argparse refuses by itself
            code = left.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ok(say):
    def run(*words):
        code, out, err = say(*words)
        assert (code, err) == (0, "")
        return out

    return run


@pytest.fixture
def run(home):
    """A finished run, as files."""
    model = embedded.folder(home)
    model.mkdir(parents=True)
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


def test_list_shows_data_sets_and_subsets(ok, keeper):
    said = ok("data", "list")
    assert f"data set  {keeper.id}: {keeper.rows} rows, {keeper.usable} usable" in said
    assert "subset    keeper: " in said


def test_open_a_file_says_what_it_found_and_what_it_left(ok, tmp_path):
    file = tmp_path / "two.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a", "output": ""}\nno\n')
    said = ok("data", "open", file)
    assert re.match(r"two-[0-9a-f]{8}: 3 rows, 1 usable", said)
    assert "1 cannot be used: no answer." in said
    assert "line 3 is not JSON" in said


def test_open_the_bundled_data_set_by_its_name(ok, keeper):
    assert ok("data", "open", "keeper").startswith(f"{keeper.id}: ")


def test_rows_pages_through_the_table(ok, tmp_path):
    file = tmp_path / "thirty.jsonl"
    file.write_text("".join(f'{{"instruction": "ask {n}", "output": "say {n}"}}\n' for n in range(30)))
    dataset = ok("data", "open", file).partition(":")[0]
    lines = ok("data", "rows", dataset, "--offset", 5, "--size", 3).splitlines()
    assert [" ".join(line.split()) for line in lines] == [f"{n} train ask {n} → say {n}" for n in (5, 6, 7)]
    assert len(ok("data", "rows", dataset).splitlines()) == 25


def test_show_prints_a_whole_conversation(ok, home, keeper):
    messages = table.Rows(home, keeper.id).row(2)["messages"]
    assert ok("data", "show", keeper.id, 2) == "".join(f"[{m['role']}]\n{m['content']}\n\n" for m in messages)


def test_show_says_why_a_row_cannot_be_used(ok, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n{"instruction": 1, "output": "b"}\n')
    dataset = ok("data", "open", file).partition(":")[0]
    assert ok("data", "show", dataset, 1).startswith("Cannot be used: instruction is not text.")


def test_cut_and_export(ok, home, keeper):
    said = ok("data", "cut", keeper.id, "ten", "--rows", 10, "--method", "first", "--held-out-share", 0)
    made = subset.find(home, "ten")
    assert made.rows == 10
    assert (made.recipe.method, made.recipe.held_out_share) == ("first", 0)
    assert made.in_words() in said
    assert made.sha256 in said
    path = Path(ok("data", "export", "ten", "--format", "messages").strip())
    assert path.parent == home.exports_dir
    assert len(zipfile.ZipFile(path).read("train.jsonl").splitlines()) == 10


def test_no_rows_asked_for_are_all_rows(ok, home, keeper):
    ok("data", "cut", keeper.id, "all", "--rows", 0)
    assert subset.find(home, "all").rows == keeper.splits["train"]


def test_the_same_cut_again_is_found_again(ok, keeper):
    assert ok("data", "cut", keeper.id, "five", "--rows", 5) == ok("data", "cut", keeper.id, "five", "--rows", 5)


def test_models_are_listed(ok, home):
    listed = [line.split()[0] for line in ok("models", "list").splitlines()]
    assert listed == [model.name for model in catalogue.available(home)]
    assert listed[0] == embedded.NAME


def test_runs_are_listed_shown_and_followed_to_their_end(ok, run):
    assert ok("runs", "list") == f"{run.id}  finished\n"
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
    "a file that is not text": (["data", "open", "{tmp}/noise.jsonl"], "not UTF-8"),
    "a damaged Parquet file": (["data", "open", "{tmp}/noise.parquet"], "not a readable Parquet"),
    "a file without a known format": (["data", "open", "{tmp}/strange.jsonl"], "No known format"),
    "a file of an unknown kind": (["data", "open", "{tmp}/x.txt"], "ends in '.txt'"),
    "an empty file": (["data", "open", "{tmp}/empty.jsonl"], "empty"),
    "a file that is not there": (["data", "open", "{tmp}/none.jsonl"], "There is no file"),
    "a folder": (["data", "open", "{tmp}/folder.jsonl"], "There is no file"),
    "no Hub id": (["data", "open", "nothing-like-this"], "owner/name"),
    "rows of an unknown data set": (["data", "rows", "nope"], "no open data set 'nope'"),
    "rows of a path": (["data", "rows", "../x"], "'../x' cannot be used"),
    "a size of 0": (["data", "rows", "{keeper}", "--size", "0"], "greater than or equal to 1"),
    "an offset below 0": (["data", "rows", "{keeper}", "--offset", "-1"], "greater than or equal to 0"),
    "a row that is not there": (["data", "show", "{keeper}", "100000"], "There is no row 100000"),
    "a row that is no number": (["data", "show", "{keeper}", "x"], "valid integer"),
    "a cut of an unknown data set": (["data", "cut", "nope", "x"], "no open data set 'nope'"),
    "a cut to a path": (["data", "cut", "{keeper}", "../x"], "'../x' cannot be used"),
    "more rows than there are": (["data", "cut", "{keeper}", "x", "--rows", "1000000"], "1,000,000 rows"),
    "rows below 0": (["data", "cut", "{keeper}", "x", "--rows", "-1"], "given: '-1'"),
    "a name that is taken": (["data", "cut", "{keeper}", "keeper", "--rows", "3"], "exists already"),
    "an unknown method": (["data", "cut", "{keeper}", "x", "--method", "last"], "'first' or 'random'"),
    "an export of an unknown subset": (["data", "export", "nope"], "no subset 'nope'"),
    "an export of a path": (["data", "export", "../keeper"], "'../keeper' cannot be used"),
    "an unknown export format": (["data", "export", "keeper", "--format", "zip"], "'llama2', 'guanaco' or 'messages'"),
    "a maximum length of 0": (["train", "--max-length", "0"], "given: '0'"),
    "an unknown subset": (["train", "--subset", "nope"], "no subset 'nope'"),
    "an unknown model": (["train", "--model", "nope"], "no model 'nope'"),
    "an unknown preset": (["train", "--preset", "nope"], " or ".join(repr(name) for name in PRESETS)),
    "no target modules": (["train", "--lora-targets", ","], "'all-linear' or module names"),
    "an unknown run": (["runs", "show", "nope"], "no run 'nope'"),
    "following an unknown run": (["runs", "follow", "nope"], "no run 'nope'"),
    "stopping an unknown run": (["runs", "stop", "nope"], "no run 'nope'"),
    "a path as a run": (["runs", "show", "../x"], "'../x' cannot be used as a run id"),
    "stopping a path": (["runs", "stop", "../x"], "'../x' cannot be used as a run id"),
    "asking an unknown run": (["chat", "nope", "Hi."], "no run 'nope'"),
    "too hot a question": (["chat", "nope", "Hi.", "--temperature", "9"], "given: '9'"),
}


def things(home):
    """Data sets, subsets, runs, exports and models."""
    return sorted(path for path in home.home.glob("*/*") if not path.name.endswith(".lock"))


@pytest.mark.parametrize(("words", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(say, home, keeper, tmp_path, words, complaint):
    (tmp_path / "noise.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "noise.parquet").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "strange.jsonl").write_text('{"column": 1}\n')
    (tmp_path / "x.txt").write_text("x")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    if words[0] == "train" and "--model" not in words:
        embedded.folder(home).mkdir(parents=True)
        (embedded.folder(home) / "config.json").write_text("{}")
    before = things(home)
    code, out, err = say(*(word.format(tmp=tmp_path, keeper=keeper.id) for word in words))
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert things(home) == before, "nothing is left behind"


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
        f"The run {run.id} is finished already: there is nothing to stop.\n",
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
