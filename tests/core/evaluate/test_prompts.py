import json

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.data.sources import open_file
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.prompts import Prompt, Prompts, describe, parse_prompt, write
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from tests.helpers.datasets import talk


def test_a_conversation_is_asked_up_to_the_answer_it_ends_on():
    assert parse_prompt(talk("a", "b", "c", "d"), 3) == Prompt(talk("a", "b", "c"), "d", 3)
    assert parse_prompt(talk("a", "b", "c"), 0) == Prompt(talk("a", "b", "c")), "a question, with what was said before"
    assert parse_prompt(talk("a", system="s"), 1) == Prompt(talk("a", system="s"), "", 1)
    assert parse_prompt([{"role": "text", "content": "hello"}], 0).question == "hello"
    assert parse_prompt(talk(" ", "b"), 0) is None


@pytest.fixture
def asked(settings, tmp_path):
    """The prompts of a file, and what was said of it."""
    settings.prepare()

    def run(name, text, **values):
        (tmp_path / name).write_text(text, encoding="utf-8")
        config = EvaluationConfig(file=name, **values)
        count, words = write(tmp_path / "prompts.jsonl", RunStore(settings), config, tmp_path / name)
        found = Prompts(tmp_path / "prompts.jsonl")
        assert len(found) == count
        return list(found), words

    return run


def test_a_text_has_a_prompt_a_line(asked):
    found, words = asked("a.txt", "What?\nWhy, über?\n\N{OGHAM LETTER BEITH}\n")
    assert [(p.question, p.reference, p.row) for p in found] == [
        ("What?", "", 0), ("Why, über?", "", 1), ("\N{OGHAM LETTER BEITH}", "", 2),
    ]  # fmt: skip
    assert words == []


def test_rows_of_any_known_format_bring_their_reference(asked):
    found, words = asked("a.csv", "question,answer\nWhat?,This.\nWho?,Me.\n")
    assert [(p.question, p.reference) for p in found] == [("What?", "This."), ("Who?", "Me.")]
    rows = [{"messages": talk("a", "b", "c", "d")}, {"messages": "no"}, {"messages": talk("", "x")}]
    found, words = asked("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "{no\n")
    assert [(p.messages, p.reference) for p in found] == [(talk("a", "b", "c"), "d")]
    assert sorted(words) == [
        "1 rows of the source are not asked: cannot be read.",
        "1 rows of the source are not asked: nothing is asked.",
        "1 rows of the source are not asked: the conversation is not a list of turns.",
    ]


def test_no_more_than_the_limit_is_asked_and_places_are_found_again(asked, tmp_path):
    found, _ = asked("a.txt", "".join(f"prompt {n} {'ü' * n}\n" for n in range(50)), limit=20)
    assert [p.row for p in found] == list(range(20))
    assert Prompts(tmp_path / "prompts.jsonl")[13] == found[13]


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", '{"a": 1}\n'), ("a.jsonl", '{"messages": [{"role": "x"}]}\n')])
def test_a_file_without_a_prompt_is_refused_and_leaves_nothing(asked, tmp_path, name, text):
    with pytest.raises(StudioError, match=r"No text in|no prompt in|cannot be used as it is"):
        asked(name, text)
    assert not (tmp_path / "prompts.jsonl").exists()


def test_the_rows_of_a_subset_by_split_and_the_held_out_rows_of_a_run(runs, tmp_path):
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


def test_where_the_subset_holds_none_out_the_rows_are_asked_that_the_run_held_out_itself(runs, tmp_path):
    (tmp_path / "q.csv").write_text("question,answer\n" + "".join(f"Who lit lamp {n}?,a{n}\n" for n in range(40)))
    data = open_file(runs.settings, tmp_path / "q.csv")
    subset.create(runs.settings, "whole", Recipe(dataset=data.id, held_out_share=0))
    run = runs.create(QLoRAConfig(subset="whole", held_out_share=0.2, seed=4))
    assert write(tmp_path / "p.jsonl", runs, EvaluationConfig(run=run.id))[0] == 8


def test_columns_that_are_not_asked_are_named_and_an_unsure_file_is_refused(asked):
    found, words = asked("a.jsonl", '{"prompt": "What is a tide?", "topic": "sea", "id": "a1"}\n' * 3)
    assert found[0].messages[-1]["content"] == "What is a tide?"
    assert words == ["3 rows: the column 'topic' is not used.", "3 rows: the column 'id' is not used."]
    pair = '{"premise": "The harbour was quiet today %d", "hypothesis": "Nobody was in the harbour %d"}\n'
    with pytest.raises(StudioError, match="cannot be used as it is: no format is sure"):
        asked("a.jsonl", "".join(pair % (i, i) for i in range(5)))
