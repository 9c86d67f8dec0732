"""Facts about the processor and the GPUs of this machine."""
