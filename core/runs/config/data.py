"""Settings of the training data, the chat template and the loss mask."""

from pydantic import BaseModel

from core.data.tokens import TemplateName
from core.runs.config.fields import setting


class DataSettings(BaseModel):
    """Settings of the group “Data”."""

    subset: str = setting(
        "keeper", "Data", "Subset", "The rows to train on. Create a subset in the Data tab.", basic=True, min_length=1
    )
    held_out_share: float = setting(
        0.05, "Data", "Held-out share",
        "Share of the rows that is evaluated instead of trained on. Used only if the subset has no held-out rows.",
        ge=0, le=0.5,
    )  # fmt: skip
    chat_template: TemplateName = setting(
        "auto", "Data", "Chat template",
        "Format of the turns as text. Auto: the model's own template (the one named default if it has several), or "
        "Llama 2's if it has none. tool_use: the model's own template of that name. Change it only to teach a base "
        "model another format.",
    )  # fmt: skip
    answers_only: bool = setting(
        True,
        "Data",
        "Loss on answers only",
        "Only the tokens of answers carry loss. Off: every token does.",
        basic=True,
    )
    neftune_alpha: float = setting(
        0.0, "Data", "NEFTune noise",
        "Noise added to the embeddings while training (Jain et al. 2023); 5 is usual for chat, 0 is none. Try it if "
        "answers are too short.",
        ge=0, le=100,
    )  # fmt: skip
