"""How much at once, and for how long."""

from typing import Literal

from pydantic import BaseModel

from core.runs.config.fields import knob


class BatchKnobs(BaseModel):
    max_length: int = knob(
        1024, "Batch and length", "Maximum length", "Tokens a row; longer rows are cut. Memory grows with it.",
        basic=True, ge=16, le=131072,
    )  # fmt: skip
    packing: bool = knob(
        True, "Batch and length", "Packing",
        "Lay the rows of a batch end to end instead of padding them to the longest. Each row still attends only to "
        "itself, so the results are the same, sooner.",
        when={"attention": ("auto",)},
    )  # fmt: skip
    batch_size: int = knob(
        8, "Batch and length", "Batch size", "Rows a forward pass, over all GPUs. Lower it first when memory runs out.",
        basic=True, ge=1, le=1024,
    )  # fmt: skip
    gradient_accumulation: int = knob(
        1, "Batch and length", "Gradient accumulation",
        "Passes before each update: the effective batch is this times the batch size.", ge=1, le=1024,
    )  # fmt: skip
    gpus: int = knob(
        1, "Batch and length", "GPUs",
        "GPUs of this machine that share each batch, which stays as large as it is. Each holds the whole model: more "
        "of them save time and activations, not weights.",
        ge=1, le=8,
        on_resume=True,
    )  # fmt: skip
    epochs: float = knob(
        1.0, "Batch and length", "Epochs", "How often each row is seen. Not read when Steps is set.",
        basic=True, gt=0, le=1000,
        on_resume=True,
    )  # fmt: skip
    max_steps: int = knob(
        0,
        "Batch and length",
        "Steps",
        "Updates to make; 0 goes by epochs.",
        basic=True,
        ge=0,
        le=10_000_000,
        on_resume=True,
    )
    gradient_checkpointing: Literal["auto", "on", "off", "offload"] = knob(
        "auto", "Batch and length", "Gradient checkpointing",
        "Recompute activations instead of keeping them: less memory, up to a third slower, the same losses. Auto: for "
        "as few blocks as the GPU's memory asks for, none without a GPU. Offload: also move what is kept to the "
        "machine's memory, for cards of 8 to 12 GB.",
        on_resume=True,
    )  # fmt: skip
    gpu_memory: float = knob(
        0.0, "Batch and length", "GPU memory",
        "GiB of the GPU that the run may take; 0: what is free. What is recomputed is chosen by it, batch by batch.",
        when={"gradient_checkpointing": ("auto",)}, ge=0, le=1024,
        on_resume=True,
    )  # fmt: skip
