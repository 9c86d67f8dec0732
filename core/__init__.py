"""Everything that is true of QLoRA Studio without a screen. Nothing in here imports gradio."""
