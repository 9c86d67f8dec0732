"""Settings of the training data, the chat template and the loss mask."""

from typing import Literal

from pydantic import BaseModel

from core.data.tokens import TemplateName
from core.runs.config.fields import CLASSIFIES, GENERATES, setting


class DataSettings(BaseModel):
    """Settings of the group “Data”."""

    subset: str = setting(
        "keeper", "Data", "Subset", "The rows to train on. Create a subset in the Data tab.", basic=True, min_length=1
    )
    task: Literal["generate", "classify"] = setting(
        "generate", "Data", "Task",
        "Generate: the model learns to write the answers. Classify: it gets a head that chooses one of the subset's "
        "labels, for texts with a label; also for BERT, RoBERTa, DistilBERT and DeBERTa.",
        basic=True,
    )  # fmt: skip
    merge_labels: bool = setting(
        True, "Data", "Merge labels",
        "Labels that differ only in case or spaces are one label, in its most frequent spelling. Off: each spelling is "
        "a label of its own.",
        when=CLASSIFIES,
    )  # fmt: skip
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
        when=GENERATES,
    )  # fmt: skip
    answers_only: bool = setting(
        True,
        "Data",
        "Loss on answers only",
        "Only the tokens of answers carry loss. Off: every token does.",
        basic=True,
        when=GENERATES,
    )
    neftune_alpha: float = setting(
        0.0, "Data", "NEFTune noise",
        "Noise added to the embeddings while training (Jain et al. 2023); 5 is usual for chat, 0 is none. Try it if "
        "answers are too short.",
        ge=0, le=100,
    )  # fmt: skip
