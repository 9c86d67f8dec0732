"""The settings of an answer. No torch in here: the page is built from it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AS_TRAINED = "as trained"


class Sampling(BaseModel):
    """Settings of an answer. They apply in this order: repetition penalty, temperature, top-k, top-p, min-p."""

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(
        0.7,
        ge=0,
        le=2,
        title="Temperature",
        description="0 always takes the likeliest token, and so does less than 0.001; higher varies more.",
    )
    top_p: float = Field(
        0.9,
        ge=0.001,
        le=1,
        title="Top-p",
        description="Pick among the likeliest tokens that together reach this share.",
    )
    top_k: int = Field(0, ge=0, le=1000, title="Top-k", description="Pick among so many tokens at most; 0: all.")
    min_p: float = Field(
        0.0, ge=0, lt=1, title="Min-p", description="Leave out tokens less likely than this share of the likeliest."
    )
    repetition_penalty: float = Field(
        1.0, ge=0.1, le=2, title="Repetition penalty",
        description="Above 1, what was said or asked before becomes less likely. 1.1 is much.",
    )  # fmt: skip
    max_new_tokens: int = Field(200, ge=1, le=4096, title="Length", description="Longest answer, in tokens.")
    stop: str = Field(
        "", max_length=1000, title="Stop words",
        description="An answer ends before any of these, one a line. Special tokens are found too.",
        json_schema_extra={"lines": 2},
    )  # fmt: skip
    seed: int = Field(
        0, ge=0, lt=2**32, title="Seed",
        description="All lanes draw the same random numbers from it; each prompt of an evaluation its own. The same "
        "seed and settings give the same text.",
    )  # fmt: skip
    system: str = Field(
        "", max_length=20_000, title="System prompt",
        description="Instructions before the conversation; empty: the model's own default. A conversation that "
        "begins with a system turn keeps its own.",
    )  # fmt: skip
    quantization: Literal["as trained", "nf4", "fp4", "int8", "none"] = Field(
        AS_TRAINED, title="Quantization",
        description="How the base weights are kept: as the run was trained, or the same for every lane. Without a run, "
        "as trained is nf4.",
    )  # fmt: skip
    compute_dtype: Literal["as trained", "auto", "bfloat16", "float16", "float32"] = Field(
        AS_TRAINED, title="Compute dtype",
        description="The number format of products: as the run was trained, or the same for every lane. Without a run, "
        "as trained is auto.",
    )  # fmt: skip

    @property
    def stop_words(self) -> list[str]:
        return [line for line in self.stop.splitlines() if line.strip()]
