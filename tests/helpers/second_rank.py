"""The second of two ranks of test_ranks.py: `python second_rank.py FOLDER`."""

import sys
from pathlib import Path

from transformers import AutoTokenizer

from core.kernels import attention
from core.models.loading import LoadedBase
from core.runs.config import QLoRAConfig
from core.train.distributed import ALONE, Ranks
from core.train.trainer import StudioTrainer
from core.train.trl_config import sft_config
from tests.helpers.tiny_model import tiny_llama


def losses_of(folder: Path, tokenizer, rows, ranks: Ranks = ALONE, **over) -> tuple[list[float], float]:
    """Of the steps, and the held-out loss at the end; `folder` is where the ranks meet."""
    config = QLoRAConfig(compute_dtype="float32", batch_size=4, save_steps=0, gpus=ranks.count, **over)
    base = LoadedBase(tiny_llama(attention=attention.PACKED), tokenizer)
    base.model.requires_grad_(False)
    arguments = sft_config(config, str(folder / f"rank{ranks.number}"), config.max_steps)
    trainer = StudioTrainer(config, base, rows, args=arguments, ranks=ranks)
    if not ranks.alone:
        ranks.join(folder / "meeting")
        ranks.as_first(trainer.trained)
    trainer.train()
    held_out = trainer.held_out_loss(rows, config.rows_per_gpu)
    if not ranks.alone:
        ranks.leave()
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry], held_out


if __name__ == "__main__":
    import json

    place = Path(sys.argv[1])
    given = json.loads((place / "given.json").read_text())
    found = losses_of(place, AutoTokenizer.from_pretrained(given["tokenizer"]), given["rows"], Ranks(1, 2),
                      **given["over"])  # fmt: skip
    (place / "second.json").write_text(json.dumps(found))
