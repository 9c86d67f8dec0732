"""Settings of evaluation passes, checkpoints, sample answers and reproducibility."""

from typing import Literal

from pydantic import BaseModel

from core.runs.config.fields import GENERATES, setting


class EvaluationSettings(BaseModel):
    """Settings of the group “Evaluation and checkpoints”."""

    seed: int = setting(
        42, "Evaluation and checkpoints", "Seed", "Seed of the initial adapter, the order of rows, and dropout.",
        ge=0, lt=2**32,
    )  # fmt: skip
    deterministic: Literal["auto", "on", "off"] = setting(
        "auto", "Evaluation and checkpoints", "Deterministic",
        "Make a run on a GPU repeatable to the last bit, so that a resumed run equals an uninterrupted one. Gradients "
        "are added in a fixed order, which is slightly slower (bench/deterministic.py measures it). Auto: on if every "
        "operation of the model can be deterministic. On: other models are refused. Without a GPU nothing changes.",
        on_resume=True,
    )  # fmt: skip
    eval_steps: int = setting(
        20, "Evaluation and checkpoints", "Evaluate every",
        "Steps between evaluation passes, which compute the held-out loss. The first and the last step always have "
        "one; 0: only these.", ge=0,
        on_resume=True,
    )  # fmt: skip
    eval_rows: int = setting(
        64, "Evaluation and checkpoints", "Held-out rows",
        "Maximum number of held-out rows per evaluation pass; 0: none.",
        ge=0, le=100_000,
    )  # fmt: skip
    save_steps: int = setting(
        20, "Evaluation and checkpoints", "Checkpoint every",
        "Steps between checkpoints; 0: only after the last step. A run is resumed from its last checkpoint.", ge=0,
        on_resume=True,
    )  # fmt: skip
    keep_checkpoints: int = setting(
        0, "Evaluation and checkpoints", "Checkpoints kept",
        "Number of newest checkpoints to keep, besides the best; 0: all.",
        ge=0, le=1000,
        on_resume=True,
    )  # fmt: skip
    keep_best: bool = setting(
        False, "Evaluation and checkpoints", "Keep the best adapter",
        "The final adapter is the one with the lowest held-out loss, not the last. A checkpoint is then written at "
        "each evaluation pass that improves on the best.",
        on_resume=True,
    )  # fmt: skip
    early_stopping: int = setting(
        0, "Evaluation and checkpoints", "Early stopping",
        "End after this many evaluation passes in a row without a lower held-out loss; 0: never.", ge=0, le=1000,
        on_resume=True,
    )  # fmt: skip
    sample_prompts: str = setting(
        "", "Evaluation and checkpoints", "Sample prompts",
        "Prompts, one per line, that the model answers at each evaluation pass, so that you can read how it changes. A "
        "classifier answers with the probabilities of its labels.",
        max_length=4000, lines=3,
        on_resume=True,
    )  # fmt: skip
    sample_tokens: int = setting(
        64, "Evaluation and checkpoints", "Tokens per sample",
        "Maximum number of tokens per answer to a sample prompt.",
        when=GENERATES, ge=1, le=2048,
        on_resume=True,
    )  # fmt: skip
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = setting(
        "none", "Evaluation and checkpoints", "Report to",
        "Also report metrics to an installed tracker. Its API key is read from its own environment variable.",
        on_resume=True,
    )  # fmt: skip

    @property
    def questions(self) -> list[str]:
        """Return the sample prompts."""
        return [line.strip() for line in self.sample_prompts.splitlines() if line.strip()]
