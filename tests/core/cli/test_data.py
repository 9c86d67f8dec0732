"""Output of each `python -m core data` command; every mistake is one sentence and exit code 2."""

import json
import re
import shlex
import zipfile
from pathlib import Path

import pytest
from datasets import Dataset

from core.data import subset
from core.data.rows import Rows
from tests.helpers.datasets import dialog, json_lines


@pytest.fixture
def opened(ok, tmp_path):
    """Return a function that opens rows as a file and returns the id of the dataset."""

    def run(rows, name="rows.jsonl"):
        (tmp_path / name).write_text(json_lines(rows))
        return ok("data", "open", tmp_path / name).partition(":")[0]

    return run


@pytest.mark.parametrize(("name", "use"), [("rationale", "reasoning"), ("solution", "ignore"), ("remark", "context")])
def test_data_read_suggests_no_column_of_the_answer_as_context(ok, opened, name, use):
    rows = [{"prompt": f"ask {n}", "completion": f"say {n}", name: f"As {n} is known to me."} for n in range(4)]
    out = ok("data", "read", opened(rows), "--format", "prompt_completion")
    assert f"--extra {name}={use}" in out


THIRTY = [{"instruction": f"ask {n}", "output": f"say {n}", "kind": "ab"[n % 2]} for n in range(30)]


def test_data_list_shows_datasets_and_subsets(ok, keeper):
    out = ok("data", "list")
    assert f"dataset   {keeper.id}: {keeper.rows} rows, Guanaco text (" in out
    assert "subset    keeper: " in out


def test_data_open_file_reports_usable_and_unusable_rows(ok, tmp_path):
    file = tmp_path / "two.jsonl"
    file.write_text('{"instruction": "a {{x}}", "output": "b"}\n{"instruction": "a", "output": ""}\nno\n')
    out = ok("data", "open", file)
    assert re.match(r"two-[0-9a-f]{12}: 3 rows, 1 usable, Alpaca \(", out)
    assert "1 row cannot be used: no answer (row 1)." in out
    assert "1 row contains the placeholder {{x}}." in out
    assert "line 3 is not JSON" in out
    assert ok("data", "about", out.partition(":")[0]) == out


def test_data_open_bundled_dataset_and_saved_folder_work(ok, keeper, tmp_path):
    assert ok("data", "open", "keeper").startswith(f"{keeper.id}: ")
    Dataset.from_list(THIRTY).save_to_disk(str(tmp_path / "saved"))
    assert ok("data", "open", tmp_path / "saved").startswith("saved-")


def test_data_read_uses_the_given_format(ok, opened):
    out = ok(
        "data", "read", opened(THIRTY), "--format", "label", "--columns", '{"text": "instruction", "label": "kind"}'
    )
    assert "30 usable, text with a label (chosen by you)" in out


def test_data_read_without_columns_takes_those_that_were_found_for_the_format(ok, opened):
    data = opened([{"Sentence": f"a film {n}", "sentiment": n % 2} for n in range(40)], name="films.jsonl")
    prompt = "Was it good? {text}"
    out = ok("data", "read", data, "--format", "label", "--labels", "0=bad", "--labels", "1=good", "--prompt", prompt)
    assert "40 usable, text with a label (chosen by you)" in out
    assert "occurs in no row" not in out.lower()
    reading = json.dumps({"format": "label", "labels": {"0": "bad", "1": "good"}, "prompt": prompt})
    assert "Was it good? a film 3\n\n[assistant]\ngood" in ok("data", "show", data, "3", "--reading", reading)
    assert "40 rows" in ok("data", "subset", data, "films", "--reading", reading, "--held-out-share", "0")


DOLLY = [{"instruction": f"ask {n}", "context": f"text {n}", "response": f"say {n}", "category": "ab"[n % 2]} for n in
         range(40)]  # fmt: skip
PAIRS = [{"prompt": [f"ask {n}", f"say {n}"], "number": n} for n in range(6)]


def commands(out):
    """Return the arguments of the commands that an output offers."""
    found = [line[line.index("python -m core") :] for line in out.splitlines() if "python -m core" in line]
    return [shlex.split(line)[3:] for line in found]


def test_data_about_undecided_dataset_offers_commands_that_work(ok, run_command, opened):
    dataset = opened(PAIRS)
    out = ok("data", "about", dataset)
    assert f"{dataset}: 6 rows, 0 usable, not chosen yet." in out
    assert "The column 'prompt' is a list of texts" in out
    assert "messages (messages = prompt): all of the first 6 rows usable" in out
    assert f"{dataset}: 6 rows, not chosen yet (see the choices: python -m core data about {dataset})" in ok(
        "data", "list"
    )
    code, _, err = run_command("data", "subset", dataset, "x")
    assert code == 2
    assert "cannot be used yet: no format is certain" in err
    [words] = commands(err)
    assert ok(*words) == out
    [words] = commands(out)
    after = ok(*words)
    assert "6 usable, messages (chosen by you)" in after
    assert "The column 'number' is not used (6 rows, number)." in after
    *_, cut = commands(after)
    assert "6 rows" in ok(*[word if word != "NAME" else "six" for word in cut], "--held-out-share", 0)


def test_data_about_unused_column_offers_a_command_that_uses_it(ok, opened):
    dataset = opened(DOLLY)
    out = ok("data", "about", dataset)
    assert "It could also be text with a label: " in out
    assert "The column 'category' is not used (40 rows)." in out
    [words] = commands(out)
    assert words[-2:] == ["--extra", "category=context"]
    after = ok(*words)
    assert "is not used" not in after
    reading = commands(after)[-1][-1]
    assert ok("data", "show", dataset, 1, "--reading", reading) == (
        "[user]\nask 1\n\ntext 1\n\nb\n\n[assistant]\nsay 1\n\n"
    )
    assert ok("data", "show", dataset, 1).endswith("Note: the column 'category' is not used.\n")


def test_data_about_counts_notes_and_show_marks_answers_without_loss(ok, opened):
    turns = [*dialog("a", "bad"), *dialog("b", "good")]
    turns[1]["weight"] = 0
    dataset = opened([{"messages": turns}] * 2, "weights.jsonl")
    assert "[assistant, not trained on]\nbad\n" in ok("data", "show", dataset, 0)
    dataset = opened([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2, "pairs.jsonl")
    assert "Note in 2 rows: the rejected answer is not trained." in ok("data", "about", dataset)


def test_data_rows_prints_the_requested_page(ok, opened):
    dataset = opened(THIRTY)
    out = ok("data", "rows", dataset, "--offset", 5, "--size", 3).splitlines()
    assert [" ".join(line.split()) for line in out] == [f"{n} train ask {n} → say {n}" for n in (5, 6, 7)]
    assert len(ok("data", "rows", dataset).splitlines()) == 25
    found = ok("data", "rows", dataset, "--search", "SAY 2", "--sort", "row", "--descending", "--size", 1)
    assert " ".join(found.split()) == "29 train ask 29 → say 29"


def test_data_show_replaces_control_characters(ok, opened):
    dataset = opened([{"messages": dialog("a\tb", "\x1b[31mred\x07")}, {"messages": "none"}])
    assert ok("data", "show", dataset, 0) == "[user]\na\tb\n\n[assistant]\n\ufffd[31mred\ufffd\n\n"
    assert ok("data", "show", dataset, 1).startswith("Cannot be used: the conversation is not a list of turns.")


def test_data_duplicates_and_sql_print_their_rows(ok, opened):
    dataset = opened([*THIRTY, THIRTY[3]])
    assert " ".join(ok("data", "duplicates", dataset).split()) == "30 almost the same as 3"
    assert ok("data", "sql", dataset, "SELECT kind, count(*) AS n FROM rows GROUP BY kind ORDER BY kind") == (
        "kind\tn\na\t15\nb\t16\n"
    )


def test_data_lengths_prints_token_statistics(ok, studio, opened):
    out = ok("data", "lengths", opened(THIRTY), "--max-length", 20)
    assert out.startswith("30 rows, ")
    assert "30 rows are truncated at 20: " in out
    assert "of a batch of" in out


def test_data_subset_recipe_of_an_export_creates_the_same_subset(ok, home, opened, tmp_path):
    dataset = opened(THIRTY)
    out = ok("data", "subset", dataset, "ten", "--rows", 10, "--method", "first", "--held-out-share", 0)
    made = subset.find(home, "ten")
    assert (made.rows, made.recipe.method) == (10, "first")
    assert made.describe() in out
    assert made.sha256 in out
    path = Path(ok("data", "export", "ten", "--format", "messages", "--files", "jsonl", "--files", "csv").strip())
    with zipfile.ZipFile(path) as archive:
        assert len(archive.read("train.jsonl").splitlines()) == 10
        assert "train.csv" in archive.namelist()
        (tmp_path / "recipe.json").write_bytes(archive.read("recipe.json"))
    ok("data", "subset", dataset, "again", "--recipe-file", tmp_path / "recipe.json")
    assert subset.find(home, "again").sha256 == made.sha256
    assert ok("data", "compare", "ten", "again").startswith("10 conversations in both, of 10 and 10")


def test_data_subset_view_with_filters_selects_rows(ok, home, opened):
    view = {"filters": [{"column": "kind", "values": ["a"]}]}
    ok("data", "subset", opened(THIRTY), "a-only", "--view", json.dumps(view), "--held-out-share", 0)
    assert {row % 2 for _, row, _ in subset.stream(home, "a-only")} == {0}


def test_data_subset_zero_rows_takes_all_and_repeats_identically(ok, home, keeper):
    out = ok("data", "subset", keeper.id, "all", "--rows", 0)
    assert subset.find(home, "all").rows == keeper.splits["train"]
    assert ok("data", "subset", keeper.id, "all", "--rows", 0) == out


def test_data_export_reports_rows_left_out(run_command, opened):
    dataset = opened([{"messages": dialog("a", "b")}, {"messages": dialog("[/INST]", "d")}])
    run_command("data", "subset", dataset, "two", "--held-out-share", 0)
    code, out, err = run_command("data", "export", "two")
    assert code == 0
    assert out.strip().endswith("two-llama2.zip")
    assert "1 row left out: a turn holds the mark '[/INST]'" in err
    assert "(row 1)" in err


MISTAKES = {
    "a file that is not text": (["open", "{tmp}/noise.jsonl"], "Nothing in 'noise.jsonl' can be read"),
    "a damaged Parquet file": (["open", "{tmp}/noise.parquet"], "not a readable Parquet"),
    "a file without text": (["open", "{tmp}/strange.jsonl"], "No text in 'strange.jsonl' (columns: column)"),
    "a file of an unknown kind": (["open", "{tmp}/x.xlsx"], "'x.xlsx' cannot be opened: its ending is unknown"),
    "an empty file": (["open", "{tmp}/empty.jsonl"], "empty"),
    "a file that is not there": (["open", "{tmp}/none.jsonl"], "There is no file"),
    "a folder": (["open", "{tmp}/folder.jsonl"], "was not saved by datasets"),
    "a part that the format lacks": (["read", "{keeper}", "--format", "text", "--columns", "x=text"], "no part 'x'"),
    "a column that is not there": (["read", "{keeper}", "--format", "text", "--extra", "x=context"], "no column 'x'"),
    "a use that there is none of": (["read", "{keeper}", "--format", "text", "--extra", "text=prompt"], "'context'"),
    "no format": (["read", "{keeper}", "--format", "undecided"], "No format is chosen"),
    "a subset by a column that is not there": (
        ["subset", "{keeper}", "x", "--reading", '{{"format": "text", "columns": {{"text": "x"}}}}'], "no column 'x'"),
    "no Hub id": (["open", "nothing-like-this"], "owner/name"),
    "rows of an unknown dataset": (["rows", "nope"], "no open dataset 'nope'"),
    "rows of a path": (["rows", "../x"], "'../x' cannot be used"),
    "a size of 0": (["rows", "{keeper}", "--size", "0"], "must be at least 1"),
    "an offset below 0": (["rows", "{keeper}", "--offset", "-1"], "must be at least 0"),
    "an offset past the end": (["rows", "{keeper}", "--offset", "9999"], "There is no row 9999. Expected 0 to 339"),
    "a search for nothing there": (["rows", "{keeper}", "--search", "zzzz"], "No row matches: with 'zzzz'"),
    "a sort by nothing there": (["rows", "{keeper}", "--sort", "zzzz"], "There is no column 'zzzz'"),
    "a row that is not there": (["show", "{keeper}", "100000"], "There is no row 100000"),
    "a row that is no number": (["show", "{keeper}", "x"], "must be a whole number"),
    "SQL that writes": (["sql", "{keeper}", "DROP TABLE rows"], "Expected SELECT or WITH"),
    "a subset of an unknown dataset": (["subset", "nope", "x"], "no open dataset 'nope'"),
    "a subset to a path": (["subset", "{keeper}", "../x"], "'../x' cannot be used"),
    "more rows than there are": (["subset", "{keeper}", "x", "--rows", "1000000"], "1,000,000 rows"),
    "rows below 0": (["subset", "{keeper}", "x", "--rows", "-1"], "given: '-1'"),
    "a name that is taken": (["subset", "{keeper}", "keeper", "--rows", "3"], "exists already"),
    "an unknown method": (["subset", "{keeper}", "x", "--method", "last"], "'first', 'random'"),
    "a recipe that is none": (["subset", "{keeper}", "x", "--recipe-file", "{tmp}/strange.jsonl"], "is not a recipe"),
    "a recipe that is not there": (
        ["subset", "{keeper}", "x", "--recipe-file", "{tmp}/none.json"], "cannot be read (No such file or directory)",
    ),
    "a recipe file with other options": (
        ["subset", "{keeper}", "x", "--recipe-file", "r.json", "--held-out-share", "0"], "--held-out-share would",
    ),
    "a run with another model": (["loss", "{keeper}", "--run", "r", "--model", "m"], "so --model would have no effect"),
    "an adapter without a run": (["loss", "{keeper}", "--adapter", "step 2"], "no --run is given"),
    "an export of an unknown subset": (["export", "nope"], "no subset 'nope'"),
    "an export of a path": (["export", "../keeper"], "'../keeper' cannot be used"),
    "an unknown export format": (["export", "keeper", "--format", "zip"], "'llama2', 'guanaco', 'messages'"),
    "a comparison with nothing": (["compare", "keeper", "nope"], "no subset 'nope'"),
    "a push without a token": (["push", "keeper", "me/keeper"], "A token with write access is needed"),
    "a push to no name": (["push", "keeper", "keeper"], "is not a Hub id"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_data_mistake_prints_one_sentence_and_exits_with_2(run_command, list_files, keeper, tmp_path, words, complaint):
    (tmp_path / "noise.jsonl").write_bytes(b"\xff\xfd\x00\x01")
    (tmp_path / "noise.parquet").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "strange.jsonl").write_text('{"column": 1}\n')
    (tmp_path / "x.xlsx").write_text("x")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    before = list_files()
    code, out, err = run_command("data", *(word.format(tmp=tmp_path, keeper=keeper.id) for word in words))
    assert (code, out) == (2, "")
    assert complaint in err
    assert "Traceback" not in err
    assert list_files() == before, "a failed command must leave no files"


def test_data_show_prints_the_messages_of_the_row(home, keeper, ok):
    messages = Rows(home, keeper.id).row(2)["messages"]
    assert ok("data", "show", keeper.id, 2) == "".join(f"[{m['role']}]\n{m['content']}\n\n" for m in messages)


def test_data_cut_runs_data_subset_with_a_note(run_command, home):
    code, _, err = run_command("data", "cut", "nope", "x")
    assert code == 2
    assert "`data cut` is now called `data subset`. The old name will be removed in the next version." in err
    assert "no open dataset 'nope'" in err
