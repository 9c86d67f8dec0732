"""The studio's trainer on a GPU beside TRL's: fifty steps on the same batches lose the same, but for bf16's noise."""

import pytest
import torch

from core.kernels.attention import PACKED
from core.models.catalogue import Model
from core.models.loading import Precision, load_base
from core.runs.config import QLoRAConfig

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

STEPS, BATCH = 50, 4
# A share of a loss; the same steps by TRL in another attention kernel differ by as much.
TOLERANCE = 0.01


def trl_losses(folder, rows, adapter, out):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    from core.runs.adapter import lora_config

    nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                             bnb_4bit_compute_dtype=torch.bfloat16)  # fmt: skip
    base = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=nf4, dtype=torch.bfloat16, device_map={"": 0}
    )
    arguments = SFTConfig(
        output_dir=str(out), per_device_train_batch_size=BATCH, max_steps=STEPS, learning_rate=1e-3, bf16=True,
        logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True, optim="adamw_torch_fused", seed=0,
        train_sampling_strategy="sequential",
    )  # fmt: skip
    data = Dataset.from_list([{"input_ids": row["input_ids"], "labels": row["labels"]} for row in rows])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = SFTTrainer(
        base,
        arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora_config(QLoRAConfig(), "all-linear"),
    )
    adapter.update({n: p.detach().float().clone() for n, p in trainer.model.named_parameters() if p.requires_grad})
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def studio_losses(folder, rows, adapter, out, **over):
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import make_sft_config

    config = QLoRAConfig(batch_size=BATCH, max_steps=STEPS, learning_rate=1e-3, scheduler="linear", warmup_ratio=0,
                         save_steps=0, seed=0, **over)  # fmt: skip
    base = load_base(Model("small", "small", str(folder), True), Precision(), PACKED)
    arguments = make_sft_config(config, str(out), STEPS)
    arguments.train_sampling_strategy = "sequential"
    trainer = StudioTrainer(config, base, rows, args=arguments)
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(adapter[name])
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_fifty_steps_match_trl_losses(tmp_path, gpu_model):
    gpu_model(tmp_path / "small")
    generator = torch.Generator().manual_seed(0)
    rows = []
    for number in range(STEPS * BATCH):
        length = int(torch.randint(20, 300, (), generator=generator))
        ids = torch.randint(3, 2000, (length,), generator=generator).tolist()
        rows.append({"row": number, "input_ids": ids, "labels": [-100] * 5 + ids[5:]})
    adapter: dict[str, torch.Tensor] = {}
    expected = torch.tensor([float(x) for x in trl_losses(tmp_path / "small", rows, adapter, tmp_path / "trl")])
    assert expected[-5:].mean() < expected[:5].mean() - 0.1, "something is learned"
    ways = {
        "kernels": {},
        "recomputing": {"gradient_checkpointing": "on"},
        "offloading": {"gradient_checkpointing": "offload"},
        "no kernels": {"kernels": "off"},
    }
    for name, over in ways.items():
        losses = studio_losses(tmp_path / "small", rows, adapter, tmp_path / "o", **over)
        difference = ((torch.tensor([float(x) for x in losses]) - expected).abs() / expected).max()
        print(f"{name}: {STEPS} losses differ from TRL's by {difference:.4f} at most, {expected[-1]:.3f} at the end")
        assert difference < TOLERANCE
