"""The settings of an answer. No torch in here: the page is built from it."""

from pydantic import BaseModel, ConfigDict, Field


class Sampling(BaseModel):
    """Settings of an answer, the same for every lane."""

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(
        0.7, ge=0, le=2, title="Temperature", description="0 always takes the likeliest token; higher varies more."
    )
    top_p: float = Field(
        0.9, gt=0, le=1, title="Top-p", description="Pick among the likeliest tokens that together reach this share."
    )
    max_new_tokens: int = Field(200, ge=1, le=4096, title="Length", description="Longest answer, in tokens.")
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        title="Seed",
        description="Both lanes draw the same random numbers from it. The same seed and settings give the same text.",
    )
    system: str = Field(
        "",
        max_length=20_000,
        title="System prompt",
        description="Instructions before the conversation; empty: the model's own default.",
    )
