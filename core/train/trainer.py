"""TRL's SFTTrainer with the studio's rows, loss, evaluation and data-parallel ranks.

Rows come tokenized; a probe chooses the layout (packed, padded, one by one); blocks are fused where possible. If the
head is a plain product, logits are computed only for tokens that carry loss, else (softcapping, a bias, a trained head)
for all. Where the studio departs from what TRL does with quantized models, a comment gives the reason.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import replace_lora_weights_loftq
from peft.tuners.tuners_utils import BaseTunerLayer
from trl import SFTTrainer

from core.data.tokens import IGNORE_INDEX, Renderer
from core.models.loading import LoadedBase
from core.models.tokenizer import padding_id
from core.runs import targets
from core.runs.adapter import lora_config
from core.runs.checkpoints import folder_of
from core.runs.config import QLoRAConfig
from core.train.activation_checkpointing import Planner
from core.train.batches import count_tokens, find_loss_positions, pack, pad
from core.train.distributed import SINGLE, RankGroup
from core.train.kernels.patch import fuse_blocks
from core.train.layout import Layout, choose_layout, explain_padding
from core.train.loss import CROSS_ENTROPY, Objective, chunked_cross_entropy, cross_entropy
from core.train.neftune import add_noise
from core.train.plain_head import find_plain_head
from core.train.resume import keep_settings
from core.train.samples import generate_answers


class StudioTrainer(SFTTrainer):
    """SFTTrainer on rows rendered beforehand, with the studio's own loss (`summed_loss`)."""

    def __init__(
        self, config: QLoRAConfig, base: LoadedBase, rows: list[dict[str, Any]], renderer: Renderer | None = None,
        ranks: RankGroup = SINGLE, **options: Any,
    ):  # fmt: skip
        """Build the trainer, with the adapter on the model.

        Args:
            config: The run's settings.
            base: The loaded base model and its tokenizer.
            rows: Tokenized training rows.
            renderer: Renders the prompts of samples; not needed without samples.
            ranks: The processes that train the run together.
            **options: Passed to SFTTrainer; "args" is the SFTConfig.
        """
        self.ranks = ranks
        smoothing = config.label_smoothing if config.loss == "cross_entropy" else 0.0
        self.objective = Objective(config.loss == "dft", smoothing)
        self.pad_id = padding_id(base.tokenizer, base.model.get_input_embeddings().weight.shape[0])
        self.layout = self.choose_layout(base, config)
        self._tokens_seen = 0
        self._rows_seen: list[int] = []
        self.renderer, self._rewrites_base = renderer, config.lora_init == "pissa"
        found = targets.require(base.model, config)
        super().__init__(
            model=base.model,
            processing_class=base.tokenizer,
            train_dataset=Dataset.from_list(rows),
            data_collator=self.collate if ranks.is_single else self._collate_shard,
            peft_config=lora_config(config, found.modules, found.head),
            **options,
        )
        self._prepare_adapter(config, base)
        self.notes = self._prepare_blocks(config, rows)
        self._head = self.find_head()
        embeddings = self.model.get_base_model().get_input_embeddings()
        self._noise = add_noise(embeddings, config.neftune_alpha)[0] if config.neftune_alpha else None

    def choose_layout(self, base: LoadedBase, config: QLoRAConfig) -> Layout:
        """Choose how rows go through the model, and set its attention accordingly."""
        # The maximum length bounds training and held-out rows.
        return choose_layout(base.model, config.packs, explain_padding(config), self.pad_id, config.max_length)

    def find_head(self) -> torch.Tensor | None:
        """Return the weight of the output layer if logits are computed for the tokens with loss only."""
        return find_plain_head(self.model, self.compute_dtype_context)

    def _prepare_adapter(self, config: QLoRAConfig, base: LoadedBase) -> None:
        """Initialize the adapter, and give it the dtype that it is trained in."""
        if config.lora_init == "loftq":
            replace_lora_weights_loftq(self.model, str(base.model.config._name_or_path))
        # PiSSA moves part of the base into the adapter. The initial adapter is needed to convert the final one back.
        if self._rewrites_base:
            self._initial = tempfile.TemporaryDirectory()
            self.model.save_pretrained(self._initial.name)
        # TRL keeps adapters of quantized models in bfloat16, where an update of a thousandth of a weight is lost to
        # rounding. They are small: keep them in float32, and compute in bfloat16 by autocast.
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        # Autocast brings inputs and adapter to one dtype. PEFT's own cast to float32 would be undone at once.
        for module in self.model.modules():
            if isinstance(module, BaseTunerLayer):
                module.cast_input_dtype_enabled = False

    def _prepare_blocks(self, config: QLoRAConfig, rows: list[dict[str, Any]]) -> list[str]:
        """Fuse the blocks on a GPU, plan what each recomputes, and return notes on both."""
        base, notes = self.model.get_base_model(), []
        self.blocks = []
        if config.kernels == "auto" and not config.classifies and torch.cuda.is_available():
            self.blocks, notes = fuse_blocks(base)
        self.planner = Planner(config, base, self.blocks, rows, packed=self.layout.kind == "packed")
        if not self.ranks.is_single:
            notes.append(
                f"{config.gpus} GPUs take {config.rows_per_gpu} of each pass's {config.batch_size} rows; their "
                "gradients are summed once per update."
            )
        return [self.layout.note, *notes, self.planner.longest.text]

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        """Return the parameters that are trained."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of some rows, with their numbers and the positions that carry loss."""
        batch = pack(rows) if self.layout.kind == "packed" else pad(rows, self.pad_id)
        positions = find_loss_positions(batch["labels"])  # (count,)
        return batch | {"row_numbers": [row["row"] for row in rows], "loss_positions": positions}

    def _collate_shard(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of this rank's rows, with the number of tokens of all ranks that carry loss."""
        mine = self.ranks.shard(rows)
        # A rank without a row computes one that carries no loss: it must take part in the collectives.
        batch = self.collate(mine or [rows[0] | {"labels": [IGNORE_INDEX] * len(rows[0]["labels"])}])
        return batch | {"loss_tokens": self.count_loss(rows), "row_numbers": [row["row"] for row in mine]}

    def count_loss(self, rows: list[dict[str, Any]]) -> int:
        """Return how many tokens of some rows carry loss."""
        return sum(label != IGNORE_INDEX for row in rows for label in row["labels"][1:])

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """Return how many tokens of an update carry loss, of all ranks: the loss is divided by them."""
        if self.ranks.is_single:
            return super()._get_num_items_in_batch(batch_samples, device)
        return torch.tensor(sum(batch["loss_tokens"] for batch in batch_samples), device=device)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run a forward and a backward pass, and sum the loss and, before an update, the gradients over the ranks."""
        loss = super().training_step(*args, **kwargs)
        if not self.ranks.is_single:
            gradients = [p.grad for p in self.trained if p.grad is not None]
            self.ranks.all_reduce([loss, *gradients] if self.accelerator.sync_gradients else [loss])
        return loss

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save a checkpoint; ranks other than the main one save only their RNG states, which the main one lacks."""
        if self.ranks.is_main:
            super()._save_checkpoint(model, trial)
        else:
            self._save_rng_state(str(folder_of(Path(self.args.output_dir), self.state.global_step)))

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(self._own_folder(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint and self._own_folder(checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load moments and step counts, and keep the current learning rate, betas, decay and schedule."""
        with keep_settings(self.optimizer, self.lr_scheduler):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _own_folder(self, checkpoint: str) -> str:
        """Return the folder of this rank's part of a checkpoint."""
        return checkpoint if self.ranks.is_main else str(Path(checkpoint) / f"rank-{self.ranks.rank}")

    def take_rows(self) -> list[int]:
        """Return the numbers of the rows trained on since the last call, in order."""
        taken, self._rows_seen = self._rows_seen, []
        return taken

    def take_tokens(self) -> int:
        """Return the number of tokens trained on since the last call, without padding."""
        taken, self._tokens_seen = self._tokens_seen, 0
        return taken

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter; one that was trained on a changed base (PiSSA) also in a form for the original base."""
        super().save_model(output_dir, _internal_call)
        if self._rewrites_base:
            folder = Path(output_dir or self.args.output_dir)
            # In a checkpoint, training continues from the adapter as it is: the converted one goes into a folder below.
            plain = folder if not _internal_call else folder / "plain"
            self.model.save_pretrained(str(plain), path_initial_model_for_weight_conversion=self._initial.name)

    def summed_loss(self, inputs: dict[str, Any], objective: Objective = CROSS_ENTROPY) -> tuple[torch.Tensor, int]:
        """Return the summed loss of a batch (scalar, float32), and how many tokens carried it."""
        inputs = {name: value for name, value in inputs.items() if name not in ("row_numbers", "loss_tokens")}
        labels = inputs.pop("labels")
        positions = inputs.pop("loss_positions", None)
        if self.layout.kind == "single" and "attention_mask" in inputs:
            return self._summed_one_by_one(inputs, labels, objective)
        base = self.model.get_base_model()
        self._scale_noise(inputs)
        with self.compute_dtype_context():
            if self._head is not None:
                # (batch, length, hidden)
                hidden = base.get_decoder()(**inputs, use_cache=False).last_hidden_state
                return chunked_cross_entropy(hidden, self._head, labels, objective, loss_positions=positions)
            return cross_entropy(base(**inputs, use_cache=False).logits, labels, objective)

    def _scale_noise(self, inputs: dict[str, Any]) -> None:
        """Give NEFTune's noise, if the run uses it, the lengths of the rows of a batch."""
        if self._noise:
            mask = inputs.get("attention_mask")
            one_row = [inputs["input_ids"].shape[1]]
            self._noise.lengths = inputs.get("row_lengths", one_row) if mask is None else mask.sum(dim=1)

    def _summed_one_by_one(
        self, inputs: dict[str, Any], labels: torch.Tensor, objective: Objective
    ) -> tuple[torch.Tensor, int]:
        """Return what `summed_loss` returns, from one forward pass per row of a padded batch."""
        results = []
        for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
            part = {"input_ids": inputs["input_ids"][row : row + 1, :length], "labels": labels[row : row + 1, :length]}
            results.append(self.summed_loss(part, objective))
        losses, counts = zip(*results, strict=True)
        return torch.stack(losses).sum(), sum(counts)

    def compute_dtype_context(self) -> contextlib.AbstractContextManager:
        """Return a context in which products are computed in the run's compute dtype."""
        return self.accelerator.autocast()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return a batch's summed loss divided by the number of tokens with loss in the update, as Trainer expects."""
        numbers = inputs.get("row_numbers", [])
        self._rows_seen += numbers
        self.planner.prepare(inputs["input_ids"].numel())
        total, count = self.summed_loss(inputs, self.objective)
        self._tokens_seen += count_tokens(inputs) if numbers else 0
        return total / (count if num_items_in_batch is None else num_items_in_batch)

    def try_step(self, rows: list[dict[str, Any]], max_tokens: int = 32) -> None:
        """Run a forward and a backward pass over the first tokens of two rows, and leave everything as it was.

        Args:
            rows: Tokenized rows.
            max_tokens: Tokens per row.
        """
        short = [self.shorten(row, max_tokens) for row in rows[:2]]
        was_training = self.model.training
        self.model.train()
        with torch.random.fork_rng():
            self.summed_loss(self._prepare_inputs(self.collate(short)))[0].backward()
        self.model.zero_grad(set_to_none=True)
        self.model.train(was_training)

    def shorten(self, row: dict[str, Any], max_tokens: int) -> dict[str, Any]:
        """Return the first tokens of a row, all of which carry loss."""
        ids = row["input_ids"][:max_tokens]
        return row | {"input_ids": ids, "labels": [IGNORE_INDEX, *ids[1:]]}

    def evaluate_held_out(
        self, rows: list[dict[str, Any]], batch_size: int, on_batch: Callable[[float], None] = lambda share: None
    ) -> dict[str, float]:
        """Return the metrics of an evaluation pass by their names in `EvalEvent`; arguments as of `held_out_loss`."""
        return {"loss": self.held_out_loss(rows, batch_size, on_batch)}

    def answer_samples(self, questions: list[str], max_new_tokens: int) -> list[str]:
        """Return the current model's answers to the sample prompts."""
        return generate_answers(self, questions, max_new_tokens)

    def held_out_loss(
        self, rows: list[dict[str, Any]], batch_size: int, on_batch: Callable[[float], None] = lambda share: None
    ) -> float:
        """Return the mean cross-entropy per token over `rows`.

        Sums are divided once at the end, so the result does not depend on how rows are batched.

        Args:
            rows: Tokenized rows, the same on all ranks.
            batch_size: Rows per forward pass.
            on_batch: Called after each batch of this rank with the share of its batches that are done, 0 to 1.
        """
        # Rows of similar length together, so that little is padded. Each rank takes every world_size-th batch.
        ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
        starts = range(0, len(ordered), batch_size)[self.ranks.rank :: self.ranks.world_size]
        was_training = self.model.training
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for done, start in enumerate(starts, 1):
                loss, tokens = self.summed_loss(self._prepare_inputs(self.collate(ordered[start : start + batch_size])))
                total, count = total + loss.item(), count + tokens
                on_batch(done / len(starts))
        self.model.train(was_training)
        sums, counts = zip(*self.ranks.all_gather((total, count)), strict=True)
        return sum(sums) / sum(counts)
