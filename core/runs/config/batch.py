"""Settings of batch size, row length, length of the run, and memory."""

from typing import Literal

from pydantic import BaseModel

from core.runs.config.fields import GENERATES, setting


class BatchSettings(BaseModel):
    """Settings of the group “Batch and length”."""

    max_length: int = setting(
        1024, "Batch and length", "Maximum length", "Tokens per row; longer rows are truncated. Memory grows with it.",
        basic=True, ge=16, le=131072,
    )  # fmt: skip
    packing: bool = setting(
        True, "Batch and length", "Packing",
        "Concatenate the rows of a batch instead of padding them to the longest. Each row still attends only to "
        "itself, so the results are the same, and training is faster.",
        when={"attention": ("auto",), **GENERATES},
    )  # fmt: skip
    batch_size: int = setting(
        8, "Batch and length", "Batch size",
        "Rows per forward pass, over all GPUs. Lower it first when memory runs out.",
        basic=True, ge=1, le=1024,
    )  # fmt: skip
    gradient_accumulation: int = setting(
        1, "Batch and length", "Gradient accumulation",
        "Passes before each update: the effective batch is this times the batch size.", ge=1, le=1024,
    )  # fmt: skip
    gpus: int = setting(
        1, "Batch and length", "GPUs",
        "GPUs of this machine that share each batch. The batch size stays the same. Each GPU holds the whole model, so "
        "more GPUs save time and memory for activations, not for weights.",
        ge=1, le=8,
        on_resume=True,
    )  # fmt: skip
    epochs: float = setting(
        1.0, "Batch and length", "Epochs", "Passes over the rows. Ignored when Steps is set.",
        basic=True, when={"max_steps": (0,)}, gt=0, le=1000,
        on_resume=True,
    )  # fmt: skip
    max_steps: int = setting(
        0, "Batch and length", "Steps", "Optimizer updates; 0: as many as the epochs take.",
        basic=True, ge=0, le=10_000_000,
        on_resume=True,
    )  # fmt: skip
    gradient_checkpointing: Literal["auto", "on", "off", "offload"] = setting(
        "auto", "Batch and length", "Gradient checkpointing",
        "Recompute activations instead of keeping them: less memory, up to a third slower, the same losses. Auto: for "
        "as few blocks as the GPU's memory requires, none without a GPU. Offload: also move the kept activations to "
        "the machine's memory, for GPUs of 8 to 12 GB.",
        on_resume=True,
    )  # fmt: skip
    gpu_memory: float = setting(
        0.0, "Batch and length", "GPU memory",
        "GiB of the GPU that the run may use; 0: all that is free. It decides how many blocks are recomputed, batch by "
        "batch.",
        when={"gradient_checkpointing": ("auto",)}, ge=0, le=1024,
        on_resume=True,
    )  # fmt: skip
