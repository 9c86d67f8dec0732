"""Everything that is true of QLoRA Studio without a screen. Nothing in here imports gradio."""

import logging
import warnings

# PEFT 0.21 and TRL 1.16 use names that transformers 5 has changed. The users of this project can do nothing about it.
warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
# At its import, bitsandbytes warns of an optional CPU kernel on the Hub, which is not used.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
