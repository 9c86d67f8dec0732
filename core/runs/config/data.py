"""What is trained on, and what of it is learned."""

from pydantic import BaseModel

from core.data.tokens import TemplateName
from core.runs.config.fields import knob


class DataKnobs(BaseModel):
    subset: str = knob(
        "keeper", "Data", "Subset", "The rows to train on, cut in the Data tab.", basic=True, min_length=1
    )
    held_out_share: float = knob(
        0.05, "Data", "Held-out share",
        "Rows kept from training to measure on, as a share. Read only when the subset holds none out itself.",
        ge=0, le=0.5,
    )  # fmt: skip
    chat_template: TemplateName = knob(
        "auto", "Data", "Chat template",
        "The marks put around turns. Auto: the model's own (the one named default, where it has several), or Llama 2's "
        "where it has none. tool_use: the model's own of that name. Change it only for a base model that is to learn "
        "another form.",
    )  # fmt: skip
    answers_only: bool = knob(
        True, "Data", "Loss on answers only", "Learn to answer, not to ask. Off: every token carries loss.", basic=True
    )
    neftune_alpha: float = knob(
        0.0, "Data", "NEFTune noise",
        "Noise added to the embeddings while training (Jain et al. 2023); 5 is usual for chat, 0 is none. Try it when "
        "answers are short and stiff.",
        ge=0, le=100,
    )  # fmt: skip
