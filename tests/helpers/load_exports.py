"""Load a downloaded adapter and a merged model as a user of PEFT and transformers does, and print their logits.

Run as `python -I load_exports.py BASE ADAPTER MERGED TEXT`, so that nothing of the project can be imported.
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def last_logits(model, ids: list[int]) -> list[float]:
    """Return the logits after the last token."""
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0, -1].tolist()


def main(base: str, adapter: str, merged: str, text: str) -> None:
    """Load the models and print a report as JSON."""
    tokenizer = AutoTokenizer.from_pretrained(merged)
    question = [{"role": "user", "content": text}]
    prompt = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    models = {
        "base": AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        "merged": AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32),
    }
    report = {name: last_logits(model, ids) for name, model in models.items()}
    report["adapter"] = last_logits(PeftModel.from_pretrained(models["base"], adapter), ids)
    report["project"] = [name for name in sys.modules if name.partition(".")[0] in ("core", "studio", "components")]
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
