"""Every family of models in the studio's trainer against transformers' loss row by row and a plain PEFT loop."""

import copy

import pytest
import torch
import torch.nn.functional as F
from peft import get_peft_model

from core.models.loading import LoadedBase
from core.runs.adapter import lora_config
from core.runs.config import QLoRAConfig
from core.runs.targets import require
from core.train.trainer import StudioTrainer
from core.train.trl_config import make_sft_config
from tests.helpers.answering_architectures import EXTRA, PADDED, RANDOM_ROUTING, TARGETS, build

STEPS = 3
# Tokens of the rows; windows have 6 tokens, chunks 8.
LENGTHS = [11, 4, 19, 7]
RATE = 1e-2


def rows_of(vocabulary: int) -> list[dict]:
    generator = torch.Generator().manual_seed(3)
    rows = []
    for number, length in enumerate(LENGTHS):
        ids = torch.randint(3, vocabulary, (length,), generator=generator).tolist()
        rows.append({"row": number, "input_ids": ids, "labels": [-100, -100, *ids[2:]]})
    return rows


def trainer_of(name: str, folder, tokenizer) -> StudioTrainer:
    targets = TARGETS.get(name, ["all-linear"])
    config = QLoRAConfig(
        compute_dtype="float32", batch_size=2, gradient_accumulation=1, max_steps=STEPS, save_steps=0, lora_rank=2,
        lora_targets=", ".join(targets), lora_dropout=0.0, learning_rate=RATE, scheduler="constant", warmup_ratio=0.0,
    )  # fmt: skip
    base = LoadedBase(build(name, len(tokenizer)), tokenizer)
    arguments = make_sft_config(config, str(folder), STEPS)
    trainer = StudioTrainer(config, base, rows_of(len(tokenizer)), args=arguments)
    trainer.config_of_test = config
    return trainer


def plain_loss(model, rows: list[dict]) -> torch.Tensor:
    """The mean loss over the tokens with loss of rows that go through the model one by one."""
    total, count = 0.0, 0
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]]), use_cache=False).logits[0, :-1]
        total = total + F.cross_entropy(logits.float(), torch.tensor(row["labels"][1:]), reduction="sum")
        count += sum(label != -100 for label in row["labels"][1:])
    return total / count


def plain_losses(model, batches: list[list[dict]]) -> list[float]:
    """The loss at each step of a plain loop."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    model.train()
    losses = []
    for batch in batches:
        loss = plain_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", EXTRA)
def test_family_losses_match_transformers_and_peft(name, small_tokenizer, tmp_path):
    trainer = trainer_of(name, tmp_path, small_tokenizer)
    rows, plain = rows_of(len(small_tokenizer)), build(name, len(small_tokenizer))
    assert trainer.layout.kind == ("padded" if name in PADDED else "packed"), trainer.layout
    assert trainer.notes[0] == trainer.layout.note
    with torch.no_grad():
        expected = plain_loss(plain, rows).item()
    assert trainer.held_out_loss(rows, len(rows)) == pytest.approx(expected, abs=1e-4), trainer.layout

    if name in RANDOM_ROUTING:
        return
    config = trainer.config_of_test
    peft = get_peft_model(copy.deepcopy(plain), lora_config(config, require(plain, config).modules))
    initial = {key: value.clone() for key, value in trainer.model.state_dict().items() if "lora_" in key}
    missing = peft.load_state_dict(initial, strict=False)
    assert initial
    assert not missing.unexpected_keys
    trainer.train()
    order = trainer.take_rows()
    batches = [[rows[number] for number in order[at : at + 2]] for at in range(0, len(order), 2)]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == len(batches) == STEPS
    assert losses == pytest.approx(plain_losses(peft, batches), rel=1e-4), trainer.layout
