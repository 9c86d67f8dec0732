"""TRL's SFTTrainer with the studio's rows, loss and measurement. What TRL decides for every quantised model and the
studio decides otherwise is said where it is done."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, replace_lora_weights_loftq
from peft.tuners.tuners_utils import BaseTunerLayer
from trl import SFTConfig, SFTTrainer

from core.data.tokens import Renderer
from core.models.loading import LoadedBase, resolve_dtype
from core.runs.config import QLoRAConfig
from core.train.batches import count_tokens, learned, pack, pad
from core.train.kernels.install import install
from core.train.loss import PLAIN, Objective, chunked_cross_entropy, cross_entropy
from core.train.neftune import add_noise
from core.train.recompute import Planner

OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "lion_8bit": "lion_8bit",
    "paged_lion_8bit": "paged_lion_8bit",
}
# Settings of some architectures that change logits after the head; their own forward must make them then.
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")


TRACKED_AS = "qlora-studio"  # the project that a tracker files runs under


def lora_config(config: QLoRAConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.target_modules,
        use_rslora=config.lora_rslora,
        use_dora=config.lora_dora,
        # LoftQ starts from the default and is put in its place once the quantized weights are there
        init_lora_weights=True if config.lora_init in ("default", "loftq") else config.lora_init,
        bias=config.lora_bias,
        modules_to_save=config.whole_modules or None,
        task_type="CAUSAL_LM",
    )


def sft_config(config: QLoRAConfig, output_dir: str, total_steps: int) -> SFTConfig:
    dtype, _ = resolve_dtype(config.compute_dtype)
    return SFTConfig(
        output_dir=output_dir,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup" if config.scheduler == "constant" else config.scheduler,
        warmup_steps=round(config.warmup_ratio * total_steps),
        optim=OPTIMIZERS[config.optimizer],
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        gradient_checkpointing=False,  # set block by block (core/train/recompute.py)
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        seed=config.seed,
        data_seed=config.seed,
        eval_strategy="no",  # the worker decides when: first, every so many steps, last
        save_strategy="steps" if config.save_steps else "no",
        save_steps=config.save_steps or 1,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN is news, not noise
        max_length=None,  # rows come cut
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to=config.report_to,
        run_name=Path(output_dir).parent.name,  # a run's checkpoints lie in its own folder
        project=TRACKED_AS,
        disable_tqdm=True,
        push_to_hub=False,
    )


class StudioTrainer(SFTTrainer):
    """SFTTrainer on rows rendered beforehand, with a loss that makes logits for answer tokens only."""

    def __init__(
        self,
        config: QLoRAConfig,
        base: LoadedBase,
        rows: list[dict[str, Any]],
        renderer: Renderer | None = None,
        **options: Any,
    ):
        self.packing = config.packs
        self.goal = Objective(config.loss == "dft", config.label_smoothing if config.loss == "cross_entropy" else 0.0)
        self.pad_id = (
            base.tokenizer.pad_token_id if base.tokenizer.pad_token_id is not None else base.tokenizer.eos_token_id
        )
        self.tokens_seen = 0
        self._rows_seen: list[int] = []
        self._renderer = renderer
        self._rewrites_base = config.lora_init == "pissa"
        super().__init__(
            model=base.model,
            processing_class=base.tokenizer,
            train_dataset=Dataset.from_list(rows),
            data_collator=self.collate,
            peft_config=lora_config(config),
            **options,
        )
        if config.lora_init == "loftq":
            replace_lora_weights_loftq(self.model, str(base.model.config._name_or_path))
        if self._rewrites_base:
            self._initial = tempfile.TemporaryDirectory()
            self.model.save_pretrained(self._initial.name)
        # TRL keeps adapters of quantised models in bf16, where an update of a thousandth of a weight is lost to
        # rounding. They are small: keep them in fp32, and compute in bf16 by autocast.
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        # Autocast brings inputs and adapter to one dtype; PEFT's own cast to fp32 before it is undone by it at once.
        for module in self.model.modules():
            if isinstance(module, BaseTunerLayer):
                module.cast_input_dtype_enabled = False
        self.choices = self._prepare_blocks(config, rows)
        self._head = self._plain_head()
        self._noise = None
        if config.neftune_alpha:
            self._noise, _ = add_noise(self.model.get_base_model().get_input_embeddings(), config.neftune_alpha)

    def _prepare_blocks(self, config: QLoRAConfig, rows: list[dict[str, Any]]) -> list[str]:
        """Fuse the blocks where that pays, and set what each recomputes; what was chosen."""
        base, said = self.model.get_base_model(), []
        self.blocks = []
        if config.kernels == "auto" and torch.cuda.is_available():
            self.blocks, said = install(base)
        self.recompute = Planner(config, base, self.blocks, rows)
        return [*said, self.recompute.longest.text]

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = pack(rows) if self.packing else pad(rows, self.pad_id)
        kept = learned(batch["labels"])
        return batch | {"row_numbers": [row["row"] for row in rows], "learned": kept}

    def take_rows(self) -> list[int]:
        """The numbers of the rows trained on since this was asked last, in order."""
        taken, self._rows_seen = self._rows_seen, []
        return taken

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter; one that belongs to a changed base (PiSSA) also as one for the base as it is."""
        super().save_model(output_dir, _internal_call)
        if self._rewrites_base:
            folder = Path(output_dir or self.args.output_dir)
            plain = folder if not _internal_call else folder / "plain"
            self.model.save_pretrained(str(plain), path_initial_model_for_weight_conversion=self._initial.name)

    def _plain_head(self) -> torch.Tensor | None:
        """The frozen weight of the output layer, if logits are nothing but hidden states times it."""
        base = self.model.get_base_model()
        head = base.get_output_embeddings()
        text_config = base.config.get_text_config()
        changed = any(getattr(text_config, name, None) not in (None, 1.0) for name in _LOGIT_CHANGES)
        if changed or type(head) is not torch.nn.Linear or head.bias is not None or head.weight.requires_grad:
            return None
        return head.weight

    def summed_loss(self, inputs: dict[str, Any], goal: Objective = PLAIN) -> tuple[torch.Tensor, int]:
        """Summed loss of a batch and how many tokens carried it."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        inputs.pop("row_numbers", None)
        kept = inputs.pop("learned", None)
        base = self.model.get_base_model()
        if self._noise:
            mask = inputs.get("attention_mask")
            self._noise.lengths = inputs["row_lengths"] if mask is None else mask.sum(dim=1)
        with self.compute_dtype_context():
            if self._head is not None:
                hidden = base.get_decoder()(**inputs, use_cache=False).last_hidden_state
                return chunked_cross_entropy(hidden, self._head, labels, goal, kept=kept)
            return cross_entropy(base(**inputs, use_cache=False).logits, labels, goal)

    def compute_dtype_context(self) -> contextlib.AbstractContextManager:
        return self.accelerator.autocast()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean over the answer tokens of the whole update, accumulation included, as Trainer expects it."""
        self._rows_seen += inputs.get("row_numbers", [])
        self.recompute.prepare(inputs["input_ids"].numel())
        total, count = self.summed_loss(inputs, self.goal)
        self.tokens_seen += count_tokens(inputs)
        return total / (count if num_items_in_batch is None else num_items_in_batch)

    def held_out_loss(self, rows: list[dict[str, Any]], batch_size: int) -> float:
        """Mean cross-entropy a token over `rows`, whatever the batches: sums first, one division last."""
        ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
        was_training = self.model.training
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(ordered), batch_size):
                batch = self._prepare_inputs(self.collate(ordered[start : start + batch_size]))
                loss, tokens = self.summed_loss(batch)
                total, count = total + loss.item(), count + tokens
        self.model.train(was_training)
        return total / count

    def answers(self, questions: list[str], most: int) -> list[str]:
        """What the model, as it is now, answers to each question, greedily.

        Args:
            most: new tokens an answer.
        """
        tokenizer, base = self.processing_class, self.model.get_base_model()
        asked = [self._renderer.prompt_ids([{"role": "user", "content": question}]) for question in questions]
        longest = max(map(len, asked))
        ids = torch.tensor([[self.pad_id] * (longest - len(ask)) + ask for ask in asked], device=self.model.device)
        mask = torch.tensor([[0] * (longest - len(ask)) + [1] * len(ask) for ask in asked], device=self.model.device)
        packed, was_training = base.config._attn_implementation, self.model.training
        self.model.eval()
        base.set_attn_implementation("sdpa" if self.packing else packed)  # rows end to end know no cache
        try:
            with torch.no_grad(), self.compute_dtype_context():
                out = self.model.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, pad_token_id=self.pad_id,
                    use_cache=True,
                )  # fmt: skip
        finally:
            base.set_attn_implementation(packed)
            self.model.train(was_training)
        return tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
