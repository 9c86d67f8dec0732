"""README of a merged model: what it is, how it was trained, how close it is to the model here, and how to ask it."""

import json
import time

from core.export.adapter import base_name, describe_result, describe_rows
from core.export.config import FORMS, ExportConfig, Form
from core.export.result import Fidelity
from core.runs.store import Run
from core.system.markdown import plain

_QUESTION = "What should I cook with eggs and rice?"


def usage(form: Form, name: str) -> tuple[str, str]:
    """Return how to ask an exported model a question: a sentence, and the commands or the program.

    Args:
        form: The form.
        name: Name of the file without its suffix, which is also the folder in a zip.
    """
    if form == "gguf-adapter":
        command = f"llama-cli -m BASE.gguf --lora {name}.gguf -p {json.dumps(_QUESTION)}"
        return "With llama.cpp, and a GGUF file of the base model in place of BASE.gguf:", command
    if form == "gguf":
        return "With llama.cpp, in the file's folder:", f"llama-cli -m {name}.gguf -p {json.dumps(_QUESTION)}"
    if form == "ollama":
        model = name.lower()
        return "Unpack the ZIP, and run beside the folder:", (
            f"ollama create {model} -f {name}/Modelfile\nollama run {model} {json.dumps(_QUESTION)}"
        )
    program = f"""from transformers import pipeline

answer = pipeline("text-generation", {json.dumps(name)})
question = [{{"role": "user", "content": {json.dumps(_QUESTION)}}}]
print(answer(question, max_new_tokens=200)[0]["generated_text"][-1]["content"])

# With vLLM: vllm serve {name}
# With SGLang: python -m sglang.launch_server --model-path {name}"""
    return "Unpack the ZIP, install torch and transformers, and run this beside the folder:", program


def readme(run: Run, adapter: str, config: ExportConfig, found: Fidelity | None, notes: list[str], name: str) -> str:
    """Return the README of an exported model, with the front matter that the Hub reads.

    Args:
        run: The run.
        adapter: "final", or "step N".
        config: The form and its settings.
        found: The comparison with the model here; None if there was none.
        notes: Decisions that were made.
        name: Name of the folder.
    """
    is_merged = config.form == "merged"
    sentence, code = usage(config.form, name)
    created = time.strftime("%Y-%m-%d", time.gmtime(run.state().created))
    return f"""---
base_model: {base_name(run)}
base_model_relation: {"merge" if is_merged else "quantized"}
library_name: {"transformers" if is_merged else "gguf"}
pipeline_tag: text-generation
tags: [qlora]
---
# {plain(run.title)}, {adapter}

{FORMS[config.form].label}: a LoRA adapter merged into its base model, trained with QLoRA Studio on {created}.

{_facts(run, adapter, config, found, notes)}

{sentence}

```{"python" if is_merged else "bash"}
{code}
```
"""


def _facts(run: Run, adapter: str, config: ExportConfig, found: Fidelity | None, notes: list[str]) -> str:
    """Return the facts about an exported model as a list of Markdown."""
    weights = "as the run saw them, quantized and dequantized" if config.base == "as trained" else "the original ones"
    facts = [
        f"Base model: `{base_name(run)}`; its weights are {weights}",
        f"Training data: {plain(describe_rows(run))}",
        describe_result(run, adapter),
        f"Adapter strength: {config.strength:g}",
        f"Compared with the model in the studio: {found.describe() if found else 'no'}",
        *notes,
    ]
    return "\n".join(f"- {fact}" for fact in facts)
