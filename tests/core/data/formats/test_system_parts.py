"""System prompts and tools of columns are added to the system turn once, whatever it holds already."""

import json

import pytest

from core.data.formats import Reading

TURNS = [{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": "At six."}]
TOOL = {"name": "tide_table", "parameters": {"place": {"type": "string"}}}
TOOLS = {
    "text": json.dumps([TOOL]), "list": [TOOL], "functions": json.dumps([{"type": "function", "function": TOOL}]),
    "one": json.dumps(TOOL), "declarations": json.dumps([{"functionDeclarations": [TOOL]}]),
}  # fmt: skip
LISTS = [f"<tools>{json.dumps(TOOL)}</tools>", f"<tools>{TOOL}</tools>", json.dumps([TOOL], indent=1)]


def system_of(row):
    parsed = Reading(format="messages").read(row)
    first = parsed.messages[0]
    return (first["content"] if first["role"] == "system" else ""), [note for note in parsed.notes if "already" in note]


@pytest.mark.parametrize("tools", TOOLS)
@pytest.mark.parametrize("listed", LISTS)
def test_tools_that_the_system_prompt_lists_are_not_added_again(tools, listed):
    prompt = f"You call functions. {listed}"
    for row in (
        {"messages": [{"role": "system", "content": prompt}, *TURNS], "tools": TOOLS[tools]},
        {"messages": TURNS, "system": prompt, "tools": TOOLS[tools]},
        {"messages": {"messages": [{"role": "system", "content": prompt}, *TURNS], "tools": TOOLS[tools]}},
    ):
        text, notes = system_of(row)
        assert text == prompt
        assert len(notes) == 1


@pytest.mark.parametrize("tools", TOOLS)
@pytest.mark.parametrize("prompt", ["Be brief.", "Ask for the tide_table by name.", '{"name": "tide"}'])
def test_tools_that_the_system_prompt_does_not_list_are_added(tools, prompt):
    text, notes = system_of({"messages": TURNS, "system": prompt, "tools": TOOLS[tools]})
    assert text.startswith(f"{prompt}\n\nYou may call these tools:\n")
    assert "tide_table" in text.removeprefix(prompt)
    assert not notes


def test_only_some_listed_tools_are_all_added():
    both = json.dumps([TOOL, {"name": "moon_phase"}])
    text, notes = system_of({"messages": TURNS, "system": LISTS[0], "tools": both})
    assert both in text
    assert not notes


@pytest.mark.parametrize("column", ["Be brief.", " Be brief.\n"])
def test_system_prompt_beside_a_conversation_that_has_it_is_not_doubled(column):
    turns = [{"role": "system", "content": "Be brief. Be kind."}, *TURNS]
    text, notes = system_of({"messages": turns, "system": column})
    assert text == "Be brief. Be kind."
    assert len(notes) == 1
    assert system_of({"messages": turns, "system": "Be calm."}) == ("Be brief. Be kind.\n\nBe calm.", [])
