"""Options of how rows are read: the form, the command line and recipes are made from these fields."""

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

FormatName = Literal[
    "messages", "sharegpt", "alpaca", "prompt_completion", "preference", "rated", "tree", "guanaco", "llama2", "marked",
    "label", "text", "undecided",
]  # fmt: skip
FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)
ExtraUse = Literal["context", "system", "ignore"]
EXTRA_USES: tuple[str, ...] = get_args(ExtraUse)


class ReadingOptions(BaseModel):
    """How rows are read. An empty field leaves the choice to the format."""

    model_config = ConfigDict(extra="forbid")

    format: FormatName = Field(title="Read as", description="The format of the rows, found from the first of them.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        title="Columns",
        description="Which column holds each part of the format, one a line: prompt = question.",
    )
    extra: dict[str, ExtraUse] = Field(
        default_factory=dict,
        title="Other columns",
        description="How columns that the format does not read are used, one a line: put behind the first question "
        "(topic = context), into the system prompt (persona = system), or left out (notes = ignore).",
    )
    reasoning: Literal["think", "leave out"] = Field(
        "think",
        title="Reasoning",
        description="Reasoning that a turn holds apart from its answer: written before the answer in <think> tags, so "
        "that it is learned, or left out.",
    )
    prompt: str = Field(
        "{text}\n\nWhat is the {label}?",
        title="Prompt for a label",
        description="The question about a text with a label: {text} is the text, {label} the label column's name. "
        "The answer is the label.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, title="Label names", description="How a label is written in the answer: 1 = positive."
    )
    placeholders: dict[str, str] = Field(
        default_factory=dict,
        title="Placeholders",
        description="The text that replaces {{name}} and the like: name = Ada.",
    )

    @field_validator("prompt")
    @classmethod
    def _holds_the_text(cls, value: str) -> str:
        if "{text}" not in value:
            raise ValueError("expected {text} somewhere in it, where the text goes")
        return value

    @field_validator("columns", "extra", "labels", "placeholders", mode="before")
    @classmethod
    def _from_lines(cls, value: Any) -> Any:
        """Read the lines of `name = value` that a form gives."""
        if not isinstance(value, str):
            return value
        pairs = [line.partition("=") for line in value.splitlines() if line.strip()]
        if bad := [name for name, sign, _ in pairs if not sign or not name.strip()]:
            raise ValueError(f"expected lines such as name = value, not {bad[0].strip()!r}")
        return {name.strip(): text.strip() for name, _, text in pairs}
