"""Commands and programs that load an exported model elsewhere, for its card and for the page."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from core.errors import StudioError
from core.export.card.facts import base_name, zip_folder
from core.export.config import Form
from core.export.engines import Serving, plan_serving, read_facts
from core.runs import classifier
from core.runs.store import Run

INSTALL = "pip install torch transformers peft accelerate"
_QUESTION = "What should I cook with eggs and rice?"


@dataclass(frozen=True)
class Loader:
    """Code that loads an exported model with one tool.

    Attributes:
        tool: Name of the tool.
        language: "python" or "bash".
        code: At most five lines.
    """

    tool: str
    language: str
    code: str


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
    if form == "mlx":
        return "With mlx-lm, unpacked, and the base model in place of BASE:", _mlx_command("BASE", name)
    if form == "combined":
        program = f"""from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(name)})"""
        return "Unpack the ZIP, install torch, transformers and peft, and run this beside the folder:", program
    program = f"""from transformers import pipeline

answer = pipeline("text-generation", {json.dumps(name)})
question = [{{"role": "user", "content": {json.dumps(_QUESTION)}}}]
print(answer(question, max_new_tokens=200)[0]["generated_text"][-1]["content"])

{_served(form, name)}"""
    packages = "torch, transformers, accelerate and bitsandbytes" if form == "merged-4bit" else "torch and transformers"
    return f"Unpack the ZIP, install {packages}, and run this beside the folder:", program


def _mlx_command(base: str, name: str) -> str:
    return f"mlx_lm.generate --model {shlex.quote(base)} --adapter-path {name} --prompt {json.dumps(_QUESTION)}"


def _served(form: Form, name: str) -> str:
    """Return how engines serve a merged model, as comments of a program."""
    return "\n".join(f"# With {engine}: {command}" for engine, command in _serving_commands(form, name))


def _serving_commands(form: Form, name: str) -> list[tuple[str, str]]:
    """Return the command with which each engine serves a merged model: of those in 4 bits, only vLLM documents it."""
    vllm = ("vLLM", f"vllm serve ./{name}")
    if form == "merged-4bit":
        return [vllm]
    sglang = ("SGLang", f"python -m sglang.launch_server --model-path ./{name}")
    tgi = ("TGI", f"text-generation-launcher --model-id ./{name}")
    return [vllm, sglang, tgi, ("mlx-lm", f"mlx_lm.generate --model ./{name} --prompt {json.dumps(_QUESTION)}")]


def list_serving(run: Run, form: Form, name: str, folder: Path) -> list[Serving]:
    """Return how engines serve an adapter beside its base, or why they cannot; nothing for other forms.

    Args:
        run: The run.
        form: The form.
        name: Name of the folder in the zip.
        folder: The adapter.
    """
    if form not in ("adapter", "combined") or run.config().classifies:
        return []
    try:
        return plan_serving(read_facts(folder), base_name(run), name)
    except StudioError as error:
        # The page of a damaged adapter says so, and goes on.
        return [Serving("", "", str(error))]


def loaders(run: Run, form: Form, name: str, folder: Path | None = None) -> list[Loader]:
    """Return how each tool that reads a form loads the model, in at most five lines.

    Args:
        run: The run.
        form: The form.
        name: Name of the file without its suffix, which is also the folder in a zip.
        folder: The adapter; None for the run's final one.
    """
    if form in ("adapter", "combined"):
        return _adapter_loaders(run, form, name, folder or run.adapter)
    if form in ("merged", "merged-4bit"):
        program = "\n".join(usage(form, name)[1].splitlines()[:5])
        commands = [Loader(engine, "bash", command) for engine, command in _serving_commands(form, name)]
        return [Loader("transformers", "python", program), *commands]
    if form == "ollama":
        return [Loader("Ollama", "bash", usage(form, name)[1])]
    if form == "mlx":
        return [Loader("mlx-lm", "bash", _mlx_command(base_name(run), name))]
    llama_cpp = Loader("llama.cpp", "bash", usage(form, name)[1])
    if form == "gguf-adapter":
        return [llama_cpp]
    made = f"printf 'FROM ./{name}.gguf\\n' > Modelfile\nollama create {name.lower()} -f Modelfile"
    return [llama_cpp, Loader("Ollama", "bash", f"{made}\nollama run {name.lower()} {json.dumps(_QUESTION)}")]


def _adapter_loaders(run: Run, form: Form, name: str, folder: Path) -> list[Loader]:
    """Return how PEFT and the engines that serve it load an adapter beside its base."""
    base = base_name(run)
    if run.config().classifies:
        return []
    program = f"""from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(name)})
tokenizer = AutoTokenizer.from_pretrained({json.dumps(base)})"""
    served = [one for one in list_serving(run, form, name, folder) if one.command]
    return [Loader("PEFT", "python", program), *(Loader(one.engine, "bash", one.command) for one in served)]


def example_code(run: Run, adapter: str, name: str = "") -> str:
    """Return a program that asks an adapter one question, to be run beside the folder of its zip.

    Args:
        run: The run.
        adapter: "final", or "step N".
        name: Name of the folder; "" for that of the adapter's own zip.
    """
    if run.config().classifies:
        return _classifying_code(run, adapter)
    template = ""
    if (run.adapters()[adapter] / "chat_template.jinja").is_file():
        # The base model may have another template, or none.
        template = """template = open(f"{folder}/chat_template.jinja", encoding="utf-8")
tokenizer.chat_template = template.read()
"""
    return f"""from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {json.dumps(base_name(run))}
folder = {json.dumps(name or zip_folder(run, adapter))}
tokenizer = AutoTokenizer.from_pretrained(base)
{template}model = AutoModelForCausalLM.from_pretrained(base)
model = PeftModel.from_pretrained(model, folder)

question = [{{"role": "user", "content": {json.dumps(_QUESTION)}}}]
prompt = tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**prompt, max_new_tokens=200)[0]
length = prompt["input_ids"].shape[1]
print(tokenizer.decode(answer[length:], skip_special_tokens=True))"""


def _classifying_code(run: Run, adapter: str) -> str:
    return f"""import json

from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

base = {json.dumps(base_name(run))}
folder = {json.dumps(zip_folder(run, adapter))}
about = json.load(open(f"{{folder}}/{classifier.FILE}", encoding="utf-8"))
labels = {{int(number): label for number, label in about["id2label"].items()}}
model = AutoModelForSequenceClassification.from_pretrained(
    base, id2label=labels, label2id=about["label2id"]
)
model.config.pad_token_id = about["pad_token_id"]
model = PeftModel.from_pretrained(model, folder).eval()

tokenizer = AutoTokenizer.from_pretrained(base)
text = tokenizer(
    "A text to classify", truncation=True, max_length=about["max_length"], return_tensors="pt"
)
print(labels[model(**text).logits.argmax().item()])"""
