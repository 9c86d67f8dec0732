"""Everything that is true of QLoRA Studio without a screen. Nothing in here imports gradio."""

import warnings

# PEFT 0.21 reads an attribute that transformers 5 has renamed. The users of this project can do nothing about it.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
