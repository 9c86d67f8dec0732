"""Second of two ranks of tests/core/train/test_distributed.py: `python -m tests.helpers.second_rank FOLDER`."""

import sys
from pathlib import Path

from transformers import AutoTokenizer

from core.kernels import attention
from core.models.loading import LoadedBase
from core.runs.config import QLoRAConfig
from core.train.distributed import SINGLE, RankGroup
from core.train.trainer import StudioTrainer
from core.train.trl_config import make_sft_config
from tests.helpers.tiny_model import tiny_llama


def losses_of(folder: Path, tokenizer, rows, ranks: RankGroup = SINGLE, **over) -> tuple[list[float], float]:
    """Return the losses of the steps, and the held-out loss at the end; `folder` holds the ranks' rendezvous."""
    config = QLoRAConfig(compute_dtype="float32", batch_size=4, save_steps=0, gpus=ranks.world_size, **over)
    base = LoadedBase(tiny_llama(attention=attention.PACKED), tokenizer)
    base.model.requires_grad_(False)
    arguments = make_sft_config(config, str(folder / f"rank{ranks.rank}"), config.max_steps)
    trainer = StudioTrainer(config, base, rows, args=arguments, ranks=ranks)
    if not ranks.is_single:
        ranks.join(folder / "rendezvous")
        ranks.broadcast(trainer.trained)
    trainer.train()
    held_out = trainer.held_out_loss(rows, config.rows_per_gpu)
    if not ranks.is_single:
        ranks.leave()
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry], held_out


if __name__ == "__main__":
    import json

    folder = Path(sys.argv[1])
    given = json.loads((folder / "given.json").read_text())
    found = losses_of(folder, AutoTokenizer.from_pretrained(given["tokenizer"]), given["rows"], RankGroup(1, 2),
                      **given["over"])  # fmt: skip
    (folder / "second.json").write_text(json.dumps(found))
