"""A conversation as files, and its rendered prompts."""

import json
from pathlib import Path

import pytest

from core.errors import StudioError
from tests.helpers.chat_page import send


@pytest.fixture
def answered(parts, tuned, chat):
    run = tuned()
    chat_id = chat()
    send(parts, chat_id, "Name a <b>color</b>.")
    return chat_id, run


def test_export_writes_jsonl_and_markdown(parts, answered, chat):
    chat_id, run = answered
    lines = [json.loads(line) for line in Path(parts.export.as_jsonl(chat_id)).read_text().splitlines()]
    assert [line["model"] for line in lines] == ["base", f"{run.id}/final"]
    assert lines[0]["messages"][0] == {"role": "user", "content": "Name a <b>color</b>."}
    assert f"### {run.id}/final" in Path(parts.export.as_markdown(chat_id)).read_text()
    with pytest.raises(StudioError, match="nothing to export"):
        parts.export.as_jsonl(chat())


def test_show_prompts_has_template_and_special_tokens_escaped(parts, answered, chat):
    chat_id, _ = answered
    shown = parts.prompts.show(chat_id)["prompts"]
    assert "Model 1, template: the model" in shown
    assert "&lt;|im_start|&gt;user" in shown
    assert "&lt;b&gt;color" in shown
    assert "Ask a question first" in parts.prompts.show(chat())["prompts"]
