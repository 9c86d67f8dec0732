"""Modelfiles: the template is found by what a model's own template writes, and the ends of an answer are stop words."""

import copy
import re

import pytest

from core.data.tokens import Renderer
from core.export.ollama import TEMPLATES, default_system, find_template, write_modelfile

OWN = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token }}{% endfor %}"


def test_chatml_of_the_embedded_model_has_its_system_prompt(tokenizer):
    renderer = Renderer(tokenizer)
    text, notes = write_modelfile(renderer, 8192)
    assert find_template(renderer) == "ChatML"
    assert default_system(renderer).startswith("You are a helpful AI assistant named SmolLM")
    assert text.splitlines()[0] == "FROM ./model.gguf"
    assert f'SYSTEM """{default_system(renderer)}"""' in text
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert "PARAMETER num_ctx 8192" in text
    assert notes == []


def test_llama_2s_template_is_found(llama2_tokenizer):
    renderer = Renderer(llama2_tokenizer, "llama2")
    text, notes = write_modelfile(renderer, None)
    assert find_template(renderer) == "Llama 2"
    assert TEMPLATES["Llama 2"][0] in text
    assert 'PARAMETER stop "</s>"' in text
    assert "num_ctx" not in text
    assert notes == []


def test_other_template_is_left_to_ollama_with_a_note(small_tokenizer):
    # A copy, because tests share the tokenizer.
    own = copy.deepcopy(small_tokenizer)
    own.chat_template = OWN
    text, (note,) = write_modelfile(Renderer(own), None)
    assert "TEMPLATE" not in text
    assert "Ollama chooses one" in note


@pytest.mark.parametrize("name", TEMPLATES)
def test_go_templates_have_balanced_actions(name):
    actions = re.findall(r"\{\{-? *(\w+)", TEMPLATES[name][0])
    assert actions.count("end") == actions.count("range") + actions.count("if")
