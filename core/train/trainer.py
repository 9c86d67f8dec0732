"""TRL's SFTTrainer with the studio's rows, loss and measurement. What TRL decides for every quantised model and the
studio decides otherwise is said where it is done."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import replace_lora_weights_loftq
from peft.tuners.tuners_utils import BaseTunerLayer
from trl import SFTTrainer

from core.data.tokens import IGNORE_INDEX, Renderer
from core.models.loading import LoadedBase
from core.models.probing import close
from core.models.tokenizer import padding_id
from core.runs import targets
from core.runs.adapter import lora_config
from core.runs.checkpoints import folder_of
from core.runs.config import QLoRAConfig
from core.train.batches import count_tokens, learned, pack, pad
from core.train.checkpointing import Planner
from core.train.determinism import suspended
from core.train.distributed import ALONE, Ranks
from core.train.kernels.patch import fuse_blocks
from core.train.layout import decide
from core.train.loss import PLAIN, Objective, chunked_cross_entropy, cross_entropy
from core.train.neftune import add_noise
from core.train.resume import settings_kept

# Settings of some architectures that change logits after the head; their own forward must make them then.
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class StudioTrainer(SFTTrainer):
    """SFTTrainer on rows rendered beforehand, with a loss that makes logits for answer tokens only."""

    def __init__(
        self,
        config: QLoRAConfig,
        base: LoadedBase,
        rows: list[dict[str, Any]],
        renderer: Renderer | None = None,
        ranks: Ranks = ALONE,
        **options: Any,
    ):
        self.ranks = ranks
        self.goal = Objective(config.loss == "dft", config.label_smoothing if config.loss == "cross_entropy" else 0.0)
        self.pad_id = padding_id(base.tokenizer, base.model.get_input_embeddings().weight.shape[0])
        # Held-out rows are cut to the same length, so that it bounds them as well.
        self.layout = decide(base.model, config.packs, _why_padded(config), self.pad_id, config.max_length)
        self.tokens_seen = 0
        self._rows_seen: list[int] = []
        self._renderer = renderer
        self._rewrites_base = config.lora_init == "pissa"
        super().__init__(
            model=base.model,
            processing_class=base.tokenizer,
            train_dataset=Dataset.from_list(rows),
            data_collator=self.collate if ranks.alone else self._collate_share,
            peft_config=lora_config(config, targets.require(base.model, config).modules),
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
            self.blocks, said = fuse_blocks(base)
        self.recompute = Planner(config, base, self.blocks, rows, packed=self.layout.kind == "packed")
        if not self.ranks.alone:
            said.append(f"{config.gpus} GPUs take {config.rows_per_gpu} of each pass's {config.batch_size} rows; "
                        "their gradients are added up once an update.")  # fmt: skip
        return [self.layout.choice, *said, self.recompute.longest.text]

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = pack(rows) if self.layout.kind == "packed" else pad(rows, self.pad_id)
        kept = learned(batch["labels"])
        return batch | {"row_numbers": [row["row"] for row in rows], "learned": kept}

    def _collate_share(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """This rank's rows of a batch, and how many tokens of the whole batch carry loss."""
        answers = sum(label != IGNORE_INDEX for row in rows for label in row["labels"][1:])
        mine = self.ranks.share(rows)
        # a rank without a row takes part all the same: one that carries no loss
        batch = self.collate(mine or [rows[0] | {"labels": [IGNORE_INDEX] * len(rows[0]["labels"])}])
        return batch | {"answers": answers, "row_numbers": [row["row"] for row in mine]}

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        if self.ranks.alone:
            return super()._get_num_items_in_batch(batch_samples, device)
        return torch.tensor(sum(batch["answers"] for batch in batch_samples), device=device)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """With several ranks, the loss and, when an update comes, the gradients are those of all together."""
        loss = super().training_step(*args, **kwargs)
        if not self.ranks.alone:
            gradients = [p.grad for p in self.trained if p.grad is not None]
            self.ranks.add_up([loss, *gradients] if self.accelerator.sync_gradients else [loss])
        return loss

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Of the other ranks, only what the first does not have: where their dropout and noise have come to."""
        if self.ranks.first:
            super()._save_checkpoint(model, trial)
        else:
            self._save_rng_state(str(folder_of(Path(self.args.output_dir), self.state.global_step)))

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(self._own_folder(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint and self._own_folder(checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load moments and step counts; learning rate, betas, decay and schedule are those of the present settings."""
        with settings_kept(self.optimizer, self.lr_scheduler):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _own_folder(self, checkpoint: str) -> str:
        return checkpoint if self.ranks.first else str(Path(checkpoint) / f"rank-{self.ranks.number}")

    def take_rows(self) -> list[int]:
        """The numbers of the rows trained on since this was asked last, in order."""
        taken, self._rows_seen = self._rows_seen, []
        return taken

    def take_tokens(self) -> int:
        """Tokens trained on since this was asked last, padding left out."""
        taken, self.tokens_seen = self.tokens_seen, 0
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
        return head.weight if self._head_is_plain(head) else None

    def _head_is_plain(self, head: torch.nn.Linear) -> bool:
        """Return whether a short text's logits are the decoder's last hidden states times the head's weight."""
        base, was_training = self.model.get_base_model(), self.model.training
        ids = torch.arange(6, device=head.weight.device)[None] % base.get_input_embeddings().weight.shape[0]
        self.model.eval()
        try:
            with torch.no_grad(), self.compute_dtype_context():
                out = base.get_decoder()(input_ids=ids, use_cache=False)
                hidden = getattr(out, "last_hidden_state", None)  # absent where a family has no decoder of its own
                return hidden is not None and close(head(hidden), base(input_ids=ids, use_cache=False).logits)
        finally:
            self.model.train(was_training)

    def summed_loss(self, inputs: dict[str, Any], goal: Objective = PLAIN) -> tuple[torch.Tensor, int]:
        """Summed loss of a batch and how many tokens carried it."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        inputs.pop("row_numbers", None)
        inputs.pop("answers", None)
        kept = inputs.pop("learned", None)
        if self.layout.kind == "single" and "attention_mask" in inputs:
            return self._summed_one_by_one(inputs, labels, goal)
        base = self.model.get_base_model()
        if self._noise:
            mask = inputs.get("attention_mask")
            alone = [inputs["input_ids"].shape[1]]
            self._noise.lengths = inputs.get("row_lengths", alone) if mask is None else mask.sum(dim=1)
        with self.compute_dtype_context():
            if self._head is not None:
                hidden = base.get_decoder()(**inputs, use_cache=False).last_hidden_state
                return chunked_cross_entropy(hidden, self._head, labels, goal, kept=kept)
            return cross_entropy(base(**inputs, use_cache=False).logits, labels, goal)

    def _summed_one_by_one(
        self, inputs: dict[str, Any], labels: torch.Tensor, goal: Objective
    ) -> tuple[torch.Tensor, int]:
        """Return what `summed_loss` returns, from one forward pass per row of a padded batch."""
        found = []
        for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
            part = {"input_ids": inputs["input_ids"][row : row + 1, :length], "labels": labels[row : row + 1, :length]}
            found.append(self.summed_loss(part, goal))
        losses, counts = zip(*found, strict=True)
        return torch.stack(losses).sum(), sum(counts)

    def compute_dtype_context(self) -> contextlib.AbstractContextManager:
        return self.accelerator.autocast()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean over the answer tokens of the whole update, accumulation included, as Trainer expects it."""
        numbers = inputs.get("row_numbers", [])
        self._rows_seen += numbers
        self.recompute.prepare(inputs["input_ids"].numel())
        total, count = self.summed_loss(inputs, self.goal)
        self.tokens_seen += count_tokens(inputs) if numbers else 0
        return total / (count if num_items_in_batch is None else num_items_in_batch)

    def try_step(self, rows: list[dict[str, Any]], most: int = 32) -> None:
        """Run a forward and a backward pass over the first tokens of two rows, and leave everything as it was.

        Args:
            rows: Rows as the trainer takes them.
            most: Tokens per row.
        """
        short = [row | {"input_ids": row["input_ids"][:most]} for row in rows[:2]]
        short = [row | {"labels": [IGNORE_INDEX, *row["input_ids"][1:]]} for row in short]
        was_training = self.model.training
        self.model.train()
        with torch.random.fork_rng():
            self.summed_loss(self._prepare_inputs(self.collate(short)))[0].backward()
        self.model.zero_grad(set_to_none=True)
        self.model.train(was_training)

    def held_out_loss(self, rows: list[dict[str, Any]], batch_size: int) -> float:
        """Mean cross-entropy a token over `rows`, whatever the batches: sums first, one division last."""
        ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
        starts = range(0, len(ordered), batch_size)[self.ranks.number :: self.ranks.count]
        was_training = self.model.training
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for start in starts:
                batch = self._prepare_inputs(self.collate(ordered[start : start + batch_size]))
                loss, tokens = self.summed_loss(batch)
                total, count = total + loss.item(), count + tokens
        self.model.train(was_training)
        sums, counts = zip(*self.ranks.all_of((total, count)), strict=True)
        return sum(sums) / sum(counts)

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
        eos, ends = base.generation_config.eos_token_id, self._renderer.end_tokens
        own = eos if isinstance(eos, list) else [eos]
        stops = {token for token in [*own, tokenizer.eos_token_id, *ends.ids] if token is not None}
        used, was_training = base.config._attn_implementation, self.model.training
        self.model.eval()
        base.set_attn_implementation(self.layout.plain)  # packed attention has no cache
        try:
            with torch.no_grad(), self.compute_dtype_context(), suspended():
                out = self.model.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, pad_token_id=self.pad_id,
                    use_cache=True, eos_token_id=sorted(stops) or None,
                    **({"stop_strings": list(ends.stop_strings), "tokenizer": tokenizer} if ends.stop_strings else {}),
                )  # fmt: skip
        finally:
            base.set_attn_implementation(used)
            self.model.train(was_training)
        return [answer_of(tokenizer, ids, stops, ends.stop_strings) for ids in out[:, longest:].tolist()]


def _why_padded(config: QLoRAConfig) -> str:
    """Return why rows are padded where packing is not wanted, as the rest of a sentence."""
    if config.attention != "auto":
        return "as configured, which packing does not go with" if config.packing else "as configured"
    return "auto: packing is off"


def answer_of(tokenizer: Any, ids: list[int], ends: set[int], stops: tuple[str, ...]) -> str:
    """Return the text of generated tokens up to the first end; what follows is padding."""
    end = next((at for at, token in enumerate(ids) if token in ends), len(ids))
    text = tokenizer.decode(ids[:end], skip_special_tokens=True)
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]
