"""Reading options: the format of a dataset, its columns and their use.

The form in the Data tab, the command line and saved recipes are derived from these fields.
"""

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.data.formats.conversation import Role

FormatName = Literal[
    "messages", "sharegpt", "alpaca", "prompt_completion", "preference", "rated", "tree", "paired",
    "multiple_choice", "guanaco", "llama2", "marked", "label", "text", "undecided",
]  # fmt: skip
FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)
ExtraUse = Literal["context", "system", "reasoning", "label", "ignore"]
EXTRA_USES: tuple[str, ...] = get_args(ExtraUse)


class ReadingOptions(BaseModel):
    """Options under which rows are parsed; an empty field leaves the choice to the format."""

    model_config = ConfigDict(extra="forbid")

    format: FormatName = Field(title="Read as", description="The format of the rows, detected from the first rows.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        title="Columns",
        description="The column of each part of the format, one per line: prompt = question.",
    )
    extra: dict[str, ExtraUse] = Field(
        default_factory=dict,
        title="Other columns",
        description="The use of columns that the format does not read, one per line: appended to the first question "
        "(topic = context), added to the system prompt (persona = system), written in <think> tags before the last "
        "answer (rationale = reasoning), one of several labels that are 0 or 1 (toxic = label), or left out "
        "(notes = ignore).",
    )
    roles: dict[str, Role] = Field(
        default_factory=dict,
        title="Roles",
        description="The role of a speaker with an unusual name, one per line: narrator = user. Roles: system, user, "
        "assistant and tool.",
    )
    reasoning: Literal["think", "leave out"] = Field(
        "think",
        title="Reasoning",
        description="Reasoning that is stored apart from its answer: written before the answer in <think> tags, so "
        "that it is trained on, or left out.",
    )
    prompt: str = Field(
        "{text}\n\nWhat is the {label}?",
        title="Prompt for a label",
        description="The question about a text with a label: {text} is the text, {label} the name of the label "
        "column. The answer is the label.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, title="Label names", description="The text of a label in the answer: 1 = positive."
    )
    placeholders: dict[str, str] = Field(
        default_factory=dict,
        title="Placeholders",
        description="The text that replaces {{name}} and the like: name = Ada.",
    )

    @field_validator("prompt")
    @classmethod
    def _require_text_placeholder(cls, value: str) -> str:
        if "{text}" not in value:
            raise ValueError("expected {text} where the text of the row goes")
        return value

    @field_validator("roles")
    @classmethod
    def _refuse_plain_text(cls, value: dict[str, Role]) -> dict[str, Role]:
        if "text" in value.values():
            raise ValueError("expected the role system, user, assistant or tool, not 'text'")
        return {name.lower(): role for name, role in value.items()}

    @field_validator("columns", "extra", "roles", "labels", "placeholders", mode="before")
    @classmethod
    def _parse_lines(cls, value: Any) -> Any:
        """Parse the lines of `name = value` that a text box gives."""
        if not isinstance(value, str):
            return value
        pairs = [line.partition("=") for line in value.splitlines() if line.strip()]
        if invalid := [name for name, sign, _ in pairs if not sign or not name.strip()]:
            raise ValueError(f"expected lines such as name = value, not {invalid[0].strip()!r}")
        return {name.strip(): text.strip() for name, _, text in pairs}
