"""README of a model on the Hub: the README of the export, and below it how to load the model from its repository."""

import json
from pathlib import Path

from core.system.markdown import plain

README = "README.md"


def complete(folder: Path, name: str, repo: str) -> None:
    """Add to the README of a folder how its model is loaded from the Hub; write one if there is none.

    Args:
        folder: The files of the model.
        name: Name of the export.
        repo: Id of the repository.
    """
    path = folder / README
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# {plain(name)}\n\nMade with QLoRA Studio.\n"
    path.write_text(f"{text.rstrip()}\n\n## From the Hub\n\n{_usage(folder, repo)}\n", encoding="utf-8")


def _usage(folder: Path, repo: str) -> str:
    if (folder / "adapters.safetensors").is_file():
        command = f"hf download {repo} --local-dir adapter\nmlx_lm.generate --model BASE --adapter-path adapter"
        return f"With the base model in place of BASE:\n\n```bash\n{command}\n```"
    if (folder / "adapter_config.json").is_file():
        return _python(_adapter_code(folder, repo))
    if (folder / "config.json").is_file():
        return _python(
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(repo)})\n"
            f"model = AutoModelForCausalLM.from_pretrained({json.dumps(repo)})"
        )
    lines = [f"hf download {repo} --local-dir model"]
    if (folder / "Modelfile").is_file():
        lines.append(f"ollama create {repo.partition('/')[2].lower()} -f model/Modelfile")
    else:
        file = next(path.name for path in sorted(folder.glob("*.gguf")))
        lines.append(f"llama-cli -m model/{file}")
    return "```bash\n" + "\n".join(lines) + "\n```"


def _adapter_code(folder: Path, repo: str) -> str:
    base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    kind = "AutoModelForSequenceClassification" if (folder / "classifier.json").is_file() else "AutoModelForCausalLM"
    # A classifier's head has as many rows as there are labels.
    labels = ""
    if kind.endswith("SequenceClassification"):
        about = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        labels = f", num_labels={len(about['id2label'])}"
    return (
        f"from peft import PeftModel\nfrom transformers import {kind}\n\n"
        f"base = {kind}.from_pretrained({json.dumps(base)}{labels})\n"
        f"model = PeftModel.from_pretrained(base, {json.dumps(repo)})"
    )


def _python(code: str) -> str:
    return f"```python\n{code}\n```"
