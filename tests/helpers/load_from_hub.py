"""Load what was pushed, by the ids of repositories alone; this program knows nothing of the project.

The arguments are the base model, the adapter, the merged model, the data set, the evaluation, and token ids as JSON.
The output is JSON: the last logits of base, adapter and merged model, and the rows.
"""

import json
import sys

import torch
from datasets import load_dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def last_logits(model, ids):
    """Return the logits after the last token."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1].float().tolist()


base_id, adapter_id, merged_id, data_id, evaluation_id, ids = sys.argv[1:]
ids = json.loads(ids)
base = AutoModelForCausalLM.from_pretrained(base_id, dtype=torch.float32)
before = last_logits(base, ids)
rows = load_dataset(data_id)
print(
    json.dumps(
        {
            "base": before,
            "adapter": last_logits(PeftModel.from_pretrained(base, adapter_id).eval(), ids),
            "merged": last_logits(AutoModelForCausalLM.from_pretrained(merged_id, dtype=torch.float32), ids),
            "template": AutoTokenizer.from_pretrained(merged_id).chat_template,
            "rows": {split: table.to_list() for split, table in rows.items()},
            "answers": load_dataset(evaluation_id, split="test").column_names,
            "project": [name for name in sys.modules if name.split(".")[0] in ("core", "studio", "tests")],
        }
    )
)
