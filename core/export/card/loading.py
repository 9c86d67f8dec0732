"""Commands and programs that load an exported model elsewhere, for its card and for the page."""

import json
import re
from dataclasses import dataclass

from core.export.card.facts import base_name, zip_folder
from core.export.config import Form
from core.runs import classifier
from core.runs.store import Run

INSTALL = "pip install torch transformers peft accelerate"
_QUESTION = "What should I cook with eggs and rice?"
# Ranks that vLLM keeps memory for; a smaller adapter fits into the next one.
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


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
    if form == "combined":
        program = f"""from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(name)})"""
        return "Unpack the ZIP, install torch, transformers and peft, and run this beside the folder:", program
    program = f"""from transformers import pipeline

answer = pipeline("text-generation", {json.dumps(name)})
question = [{{"role": "user", "content": {json.dumps(_QUESTION)}}}]
print(answer(question, max_new_tokens=200)[0]["generated_text"][-1]["content"])

# With vLLM: vllm serve {name}
# With SGLang: python -m sglang.launch_server --model-path {name}"""
    packages = "torch, transformers, accelerate and bitsandbytes" if form == "merged-4bit" else "torch and transformers"
    return f"Unpack the ZIP, install {packages}, and run this beside the folder:", program


def loaders(run: Run, form: Form, name: str) -> list[Loader]:
    """Return how each tool that reads a form loads the model, in at most five lines.

    Args:
        run: The run.
        form: The form.
        name: Name of the file without its suffix, which is also the folder in a zip.
    """
    if form in ("adapter", "combined"):
        return _adapter_loaders(run, name)
    if form in ("merged", "merged-4bit"):
        program = "\n".join(usage(form, name)[1].splitlines()[:5])
        return [
            Loader("transformers", "python", program),
            Loader("vLLM", "bash", f"vllm serve ./{name}"),
            Loader("SGLang", "bash", f"python -m sglang.launch_server --model-path ./{name}"),
        ]
    if form == "ollama":
        return [Loader("Ollama", "bash", usage(form, name)[1])]
    llama_cpp = Loader("llama.cpp", "bash", usage(form, name)[1])
    if form == "gguf-adapter":
        return [llama_cpp]
    made = f"printf 'FROM ./{name}.gguf\\n' > Modelfile\nollama create {name.lower()} -f Modelfile"
    return [llama_cpp, Loader("Ollama", "bash", f"{made}\nollama run {name.lower()} {json.dumps(_QUESTION)}")]


def _adapter_loaders(run: Run, name: str) -> list[Loader]:
    """Return how PEFT and vLLM load an adapter beside its base; vLLM serves plain LoRA only."""
    config, base = run.config(), base_name(run)
    if config.classifies:
        return []
    program = f"""from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(name)})
tokenizer = AutoTokenizer.from_pretrained({json.dumps(base)})"""
    found = [Loader("PEFT", "python", program)]
    rank = next((rank for rank in _VLLM_RANKS if rank >= config.lora_rank), None)
    # Names on the Hub have no special character; a local folder may be named anything.
    if rank and not config.lora_dora and re.fullmatch(r"[\w./-]+", base):
        command = f"vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules {name}=./{name}"
        found.append(Loader("vLLM", "bash", command))
    return found


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
