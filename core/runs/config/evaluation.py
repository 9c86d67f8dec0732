"""What is measured and kept while the run goes on."""

from typing import Literal

from pydantic import BaseModel

from core.runs.config.fields import knob


class MeasuringKnobs(BaseModel):
    seed: int = knob(
        42, "Measuring and saving", "Seed", "Decides the adapter's start, the order of rows and dropout.",
        ge=0, lt=2**32,
    )  # fmt: skip
    deterministic: Literal["auto", "on", "off"] = knob(
        "auto", "Measuring and saving", "Deterministic",
        "Make a GPU repeat a run bit by bit, so that a resumed run equals an undisturbed one; gradients are added in a "
        "fixed order, which costs a little speed (bench/deterministic.py measures it). Auto: on where every operation "
        "of the model can be. On: a model with an operation that cannot be is refused. Without a GPU nothing changes.",
        on_resume=True,
    )  # fmt: skip
    eval_steps: int = knob(
        20, "Measuring and saving", "Evaluate every",
        "Steps between measurements of the held-out loss, besides the first and the last; 0: only these.", ge=0,
        on_resume=True,
    )  # fmt: skip
    eval_rows: int = knob(
        64, "Measuring and saving", "Held-out rows", "At most this many held-out rows are measured each time; 0: none.",
        ge=0, le=100_000,
    )  # fmt: skip
    save_steps: int = knob(
        20, "Measuring and saving", "Checkpoint every",
        "Steps between checkpoints, besides the last; 0: only the last. A run resumes from a checkpoint.", ge=0,
        on_resume=True,
    )  # fmt: skip
    keep_checkpoints: int = knob(
        0, "Measuring and saving", "Checkpoints kept", "The newest so many are kept, and the best; 0 keeps all.",
        ge=0, le=1000,
        on_resume=True,
    )  # fmt: skip
    keep_best: bool = knob(
        False, "Measuring and saving", "Take the best",
        "The finished adapter is the one with the lowest held-out loss, not the last. A checkpoint is written at each "
        "evaluation then.",
        on_resume=True,
    )  # fmt: skip
    early_stopping: int = knob(
        0, "Measuring and saving", "Early stopping",
        "End after so many evaluations in a row without a lower held-out loss; 0: never.", ge=0, le=1000,
        on_resume=True,
    )  # fmt: skip
    sample_prompts: str = knob(
        "", "Measuring and saving", "Sample prompts",
        "Questions, one a line, that the model answers at each evaluation, so that you can read how it changes.",
        max_length=4000, lines=3,
        on_resume=True,
    )  # fmt: skip
    sample_tokens: int = knob(
        64, "Measuring and saving", "Tokens a sample", "At most so many tokens are answered to a sample prompt.",
        ge=1, le=2048,
        on_resume=True,
    )  # fmt: skip
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = knob(
        "none", "Measuring and saving", "Report to",
        "Also report losses to a tracker that is installed here. Its key comes from its own environment variable.",
        on_resume=True,
    )  # fmt: skip

    @property
    def questions(self) -> list[str]:
        return [line.strip() for line in self.sample_prompts.splitlines() if line.strip()]
