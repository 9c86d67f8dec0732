"""Sampling settings of an answer; the chat form, the API and the command line are built from them, without torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AS_TRAINED = "as trained"


class Sampling(BaseModel):
    """Sampling settings, applied in this order: repetition penalty, temperature, top-k, top-p, min-p."""

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(
        0.7,
        ge=0,
        le=2,
        title="Temperature",
        description="0 (and anything below 0.001) always takes the most likely token; higher values vary more.",
    )
    top_p: float = Field(
        0.9,
        ge=0.001,
        le=1,
        title="Top-p",
        description="Sample from the most likely tokens that together reach this probability.",
    )
    top_k: int = Field(0, ge=0, le=1000, title="Top-k", description="Sample from at most this many tokens; 0 for all.")
    min_p: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Min-p",
        description="Exclude tokens less likely than this fraction of the most likely one.",
    )
    repetition_penalty: float = Field(
        1.0, ge=0.1, le=2, title="Repetition penalty",
        description="Above 1, tokens of the prompt and the answer become less likely. 1.1 is already strong.",
    )  # fmt: skip
    max_new_tokens: int = Field(200, ge=1, le=4096, title="Length", description="Maximum answer length, in tokens.")
    stop: str = Field(
        "", max_length=1000, title="Stop words",
        description="An answer ends before any of these, one per line. Special tokens may be listed too.",
        json_schema_extra={"lines": 2},
    )  # fmt: skip
    seed: int = Field(
        0, ge=0, lt=2**32, title="Seed",
        description="All models use the same random numbers; each prompt of an evaluation has its own. The same seed "
        "and settings give the same text.",
    )  # fmt: skip
    system: str = Field(
        "", max_length=20_000, title="System prompt",
        description="Instructions before the conversation; if empty, the model's default. A conversation that begins "
        "with a system turn keeps its own.",
    )  # fmt: skip
    quantization: Literal["as trained", "nf4", "fp4", "int8", "none"] = Field(
        AS_TRAINED, title="Quantization",
        description="How the base weights are stored: as in the run's training, or the same for every model. Without a "
        "run, as trained means nf4.",
    )  # fmt: skip
    compute_dtype: Literal["as trained", "auto", "bfloat16", "float16", "float32"] = Field(
        AS_TRAINED, title="Compute dtype",
        description="The number format of matrix products: as in the run's training, or the same for every model. "
        "Without a run, as trained means auto.",
    )  # fmt: skip

    @property
    def stop_words(self) -> list[str]:
        """Return the stop words, one per line of `stop`; empty lines are left out."""
        return [line for line in self.stop.splitlines() if line.strip()]
