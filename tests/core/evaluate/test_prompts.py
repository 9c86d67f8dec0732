import json
import shutil

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.data.sources import open_file
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.prompts import Prompt, Prompts, describe, parse_prompt, write
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from tests.helpers.datasets import dialog


def test_parse_prompt_final_answer_becomes_the_reference():
    assert parse_prompt(dialog("a", "b", "c", "d"), 3) == Prompt(dialog("a", "b", "c"), "d", 3)
    assert parse_prompt(dialog("a", "b", "c"), 0) == Prompt(dialog("a", "b", "c"))
    assert parse_prompt(dialog("a", system="s"), 1) == Prompt(dialog("a", system="s"), "", 1)
    assert parse_prompt([{"role": "text", "content": "hello"}], 0).question == "hello"
    assert parse_prompt(dialog(" ", "b"), 0) is None


@pytest.fixture
def write_file(settings, tmp_path):
    """Return a function that writes the prompts of a file and returns them with the notes."""
    settings.prepare()

    def write_one(name, text, **values):
        (tmp_path / name).write_text(text, encoding="utf-8")
        config = EvaluationConfig(file=name, **values)
        count, words = write(tmp_path / "prompts.jsonl", RunStore(settings), config, tmp_path / name)
        found = Prompts(tmp_path / "prompts.jsonl")
        assert len(found) == count
        return list(found), words

    return write_one


def test_write_text_file_gives_one_prompt_per_line(write_file):
    found, words = write_file("a.txt", "What?\nWhy, über?\n\N{OGHAM LETTER BEITH}\n")
    assert [(p.question, p.reference, p.row) for p in found] == [
        ("What?", "", 0), ("Why, über?", "", 1), ("\N{OGHAM LETTER BEITH}", "", 2),
    ]  # fmt: skip
    assert words == []


def test_write_known_formats_keep_their_references(write_file):
    found, words = write_file("a.csv", "question,answer\nWhat?,This.\nWho?,Me.\n")
    assert [(p.question, p.reference) for p in found] == [("What?", "This."), ("Who?", "Me.")]
    rows = [{"messages": dialog("a", "b", "c", "d")}, {"messages": "no"}, {"messages": dialog("", "x")}]
    found, words = write_file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "{no\n")
    assert [(p.messages, p.reference) for p in found] == [(dialog("a", "b", "c"), "d")]
    assert sorted(words) == [
        "1 row of the source is not used: cannot be read.",
        "1 row of the source is not used: the conversation is not a list of turns.",
        "1 row of the source is not used: there is no question.",
    ]


def test_write_stops_at_the_limit_and_prompts_are_found_by_index(write_file, tmp_path):
    found, _ = write_file("a.txt", "".join(f"prompt {n} {'ü' * n}\n" for n in range(50)), limit=20)
    assert [p.row for p in found] == list(range(20))
    assert Prompts(tmp_path / "prompts.jsonl")[13] == found[13]


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", '{"a": 1}\n'), ("a.jsonl", '{"messages": [{"role": "x"}]}\n')])
def test_write_file_without_a_prompt_raises_and_leaves_nothing(write_file, tmp_path, name, text):
    with pytest.raises(StudioError, match=r"No text in|no prompt in|cannot be used as it is"):
        write_file(name, text)
    assert not (tmp_path / "prompts.jsonl").exists()


def test_write_subset_by_split_and_held_out_rows_of_a_run(runs, tmp_path):
    target = tmp_path / "prompts.jsonl"
    there = subset.find(runs.settings, "keeper")

    def count(**values):
        return write(target, runs, EvaluationConfig(**values))[0]

    assert count(subset="keeper") == there.rows + there.held_out
    assert count(subset="keeper", split="train") == there.rows
    run = runs.create(QLoRAConfig())
    assert count(lanes=["base", run.id]) == there.held_out
    first = Prompts(target)[0]
    held_out = next(m for split, _, m in subset.stream(runs.settings, "keeper") if split == "held-out")
    assert (first.messages, first.reference) == (held_out[:-1], held_out[-1]["content"])
    assert describe(EvaluationConfig(run=run.id)) == f"the held-out rows of {run.id}"
    with pytest.raises(StudioError, match="There is no run"):
        count(run="no-such-run")


def test_write_subset_without_held_out_rows_uses_those_of_the_run(runs, tmp_path):
    (tmp_path / "q.csv").write_text("question,answer\n" + "".join(f"Who lit lamp {n}?,a{n}\n" for n in range(40)))
    data = open_file(runs.settings, tmp_path / "q.csv")
    subset.create(runs.settings, "whole", Recipe(dataset=data.id, held_out_share=0))
    run = runs.create(QLoRAConfig(subset="whole", held_out_share=0.2, seed=4))
    assert write(tmp_path / "p.jsonl", runs, EvaluationConfig(run=run.id))[0] == 8


def test_write_notes_unused_columns_and_rejects_unclear_formats(write_file):
    found, words = write_file("a.jsonl", '{"prompt": "What is a tide?", "topic": "sea", "id": "a1"}\n' * 3)
    assert found[0].messages[-1]["content"] == "What is a tide?"
    assert words == [
        "3 rows: the column 'topic' is no part of the prompt.", "3 rows: the column 'id' is no part of the prompt.",
    ]  # fmt: skip
    pair = '{"premise": "The harbour was quiet today %d", "hypothesis": "Nobody was in the harbour %d"}\n'
    with pytest.raises(StudioError, match="cannot be used as it is: no format is certain"):
        write_file("a.jsonl", "".join(pair % (i, i) for i in range(5)))


def test_write_every_turn_gives_a_prompt_per_answer(write_file):
    masked = [*dialog("a", "b", "c", "d"), {"role": "user", "content": "e"}]
    masked[1]["loss"] = False
    rows = [dialog("q1", "r1", "q2", "r2"), masked, dialog("q", "r")]
    text = "".join(json.dumps({"messages": row}) + "\n" for row in rows)
    found, words = write_file("a.jsonl", text, turns="every")
    assert words[-1] == "1 row: an answer that carries no loss, or follows another answer, is not asked for."
    assert [(p.question, p.reference, p.row) for p in found] == [
        ("q1", "r1", 0), ("q2", "r2", 0), ("c", "d", 1), ("e", "", 1), ("q", "r", 2),
    ]  # fmt: skip
    assert found[1].messages == dialog("q1", "r1", "q2")
    last, _ = write_file("a.jsonl", text)
    assert [(p.question, p.reference) for p in last] == [("q2", "r2"), ("e", ""), ("q", "r")]


def test_write_keeps_small_columns_and_names_the_others(write_file, runs, tmp_path):
    rows = [
        {"instruction": f"Name the keeper of lamp {n}.", "output": f"Keeper {n} kept it.",
         "topic": ("sea", "land")[n % 2], "part": n % 3, "id": f"x{n}", "source": "same"}
        for n in range(30)
    ]  # fmt: skip
    found, words = write_file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert found[4].columns == {"topic": "sea", "part": "1"}
    assert words[-2:] == [
        "Results are grouped by the columns topic, part.",
        "Results are not grouped by: id (more than 20 values).",
    ]
    data = open_file(runs.settings, tmp_path / "a.jsonl")
    subset.create(runs.settings, "lamps", Recipe(dataset=data.id, held_out_share=0.5))
    target = tmp_path / "p.jsonl"
    _, words = write(target, runs, EvaluationConfig(subset="lamps", split="held-out"))
    for prompt in Prompts(target):
        assert prompt.columns == {"topic": rows[prompt.row]["topic"], "part": str(rows[prompt.row]["part"])}
    assert "Results are grouped by the columns topic, part." in words
    shutil.rmtree(runs.settings.datasets_dir / data.id)
    _, words = write(target, runs, EvaluationConfig(subset="lamps", split="held-out"))
    assert words == [f"The dataset {data.id} is not open any more, so results are not grouped by its columns."]
