"""Small files that were once misread, with the right reading of each; skipped where they are absent."""

from pathlib import Path

import pytest

from core.data import parse_rows, sources
from core.data.rows import Rows

CASES = Path(__file__).resolve().parents[5] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the small inputs are not here ({CASES})")

NUMBERS = [("user", "2+2"), ("assistant", "4")]
AIRLINE = [
    ("user", "When did airline 1 start?\n\nAirline 1 started in 1991."),
    ("assistant", "Airline 1 commenced services in the year 1991."),
]
ASKED = [("user", "Wie geht's Übermut?"), ("assistant", "Gut – ñ é 😀")]
# file: (format, row, its conversation, usable rows, parts of what the report must say)
READINGS = {
    "j_cols.json": ("prompt_completion", 0, [("user", "a"), ("assistant", "c")], 2, ()),
    "j_splits.json": ("prompt_completion", 0, ASKED, 4, ()),
    "n_numbers.jsonl": ("prompt_completion", 0, NUMBERS, 3, ("completion is a number", "prompt is a number")),
    "odd.jsonl": ("messages", 0, [("user", "Good morning"), ("assistant", "Hello")], 1, ()),
    "p_toolsnan.parquet": ("messages", 0, [("user", "a"), ("assistant", "b")], 2, ()),
    "r10_dolly.jsonl": ("alpaca", 1, AIRLINE, 40, ("category",)),
    "r10_dpo.jsonl": ("preference", 0, [("user", "Question 0?"), ("assistant", "Good 0.")], 5, ("not trained",)),
    "r10_inout.jsonl": ("prompt_completion", 0,
                        [("user", "Translate number 0"), ("assistant", "nummer 0 in words that are long")], 5, ()),
    "r10_instrresp.jsonl": ("alpaca", 0, [("user", "Do 0"), ("assistant", "done 0 as asked")], 5, ()),
    "r10_kto.jsonl": ("rated", 1, [("user", "q1"), ("assistant", "bad 1")], 3, ()),
    "r10_orca.jsonl": ("prompt_completion", 0,
                       [("system", "You are an AI that answers in rhyme."), ("user", "q 0"), ("assistant", "r 0")], 5,
                       ("id",)),
    "r10_sqlctx.jsonl": ("prompt_completion", 0,
                         [("user", "How many heads are older than 0?\n\nCREATE TABLE head_0 (age INTEGER)"),
                          ("assistant", "SELECT COUNT(*) FROM head_0 WHERE age > 0")], 5, ()),
    "r10_sysprompt.jsonl": ("prompt_completion", 0,
                            [("system", "Answer in rhyme."), ("user", "q 0"), ("assistant", "r 0")], 5, ()),
    "r11_pcstr_sorted.jsonl": ("prompt_completion", 0, [("user", "a"), ("assistant", "b")], 2, ()),
    "r11_pyrepr.csv": ("messages", 0, [("user", "It's here?"), ("assistant", 'She said "yes".')], 2, ()),
    "r2_mixed.json": ("alpaca", 4, [("user", "Double it\n\n21"), ("assistant", "42")], 7,
                      ("the input is a number", "the input is an object", "the input is a list", "ner")),
    "r4_tools.parquet": ("messages", 0,
                         [("user", "move to (0, 1)"),
                          ("assistant", '[{"function": {"name": "move", "arguments": {"x": 0, "y": 1}}}]')], 2, ()),
    "r5_weight.jsonl": ("messages", 0,
                        [("user", "capital of France?"), ("assistant, no loss", "Berlin, obviously"),
                         ("user", "Are you sure?"), ("assistant", "Sorry: Paris.")], 2, ()),
    "r8_array.jsonl": ("prompt_completion", 0, ASKED, 2, ()),
    "r8_midbom.jsonl": ("prompt_completion", 1, [("user", "c"), ("assistant", "d")], 2, ()),
    "r9_caps.csv": ("prompt_completion", 1, [("user", "What is 2+2?"), ("assistant", "It is 4 of course.")], 2, ()),
    "r9_hdrcommas2.csv": ("prompt_completion", 0, [("user", "b"), ("assistant", "c")], 2, ("note, a, b, c, d",)),
    "r9_sep.csv": ("prompt_completion", 0, [("user", "b"), ("assistant", "c")], 2, ()),
    "system.jsonl": ("messages", 1,
                     [("system", "You translate to French."), ("user", "Good morning"), ("assistant", "Bonjour")],
                     3, ()),
    "three.txt": ("text", 2, [("text", "Yes")], 3, ()),
    "tool.jsonl": ("messages", 1, [("tool", '{"temp": 21}'), ("assistant", "21 degrees")], 2, ()),
    "x_minority_inst.jsonl": ("text", 0, [("text", "Plain paragraph number 0 of a book about llamas.")], 31, ()),
    "x_pre_inst.jsonl": ("llama2", 0,
                         [("system", "Below is an instruction."), ("user", "q"), ("assistant", "a")], 2,
                         ("text before the first [INST]",)),
    "x_reason.jsonl": ("messages", 0,
                       [("user", "2+2?"), ("assistant", "<think>\ntwo and two make four\n</think>\n\n4")], 2, ()),
    "x_tools_null.jsonl": ("messages", 0, [("user", "q"), ("assistant", "a")], 1, ("'null' is read as empty",)),
}  # fmt: skip
ELSEWHERE = {"README.md", "scan.jsonl", "p_binary.parquet"}


def opened(settings, name: str):
    data = sources.open_file(settings, CASES / name)
    return data, parse_rows.parse_dataset(settings, data, data.detected)


@pytest.mark.parametrize("name", READINGS)
def test_case_opens_as_a_practitioner_expects(settings, name):
    form, row, conversation, usable, report = READINGS[name]
    data, about = opened(settings, name)
    assert (data.detected.format, about.usable) == (form, usable), (data.evidence, about.problems)
    messages = Rows(settings, data.id).row(row)["messages"]
    assert [(m["role"] + ", no loss" * (m.get("loss") is False), m["content"]) for m in messages] == conversation
    said = "\n".join([*about.unread, *about.notes, *data.complaints])
    assert all(part in said for part in report), said


def test_bytes_that_are_text_are_text(settings):
    data, about = opened(settings, "p_binary.parquet")
    assert about.usable == data.rows
    assert not any(
        "bytes>" in m["content"] for _, _, messages in Rows(settings, data.id).usable_rows() for m in messages
    )


def test_splits_of_one_file_are_kept(settings):
    data, _ = opened(settings, "j_splits.json")
    assert data.splits == {"train": 2, "held-out": 2}


def test_every_case_is_covered():
    assert {path.name for path in Path(CASES).iterdir()} == {*READINGS, *ELSEWHERE}
