"""Training: the worker process, the trainer, its loss and batches, and training on several GPUs."""
