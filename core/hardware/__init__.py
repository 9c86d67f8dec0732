"""Facts about the processor and the GPUs of this machine.

The memory forecast, whether a run fits, and the plan of activation checkpointing are functions of a run's
configuration, and this package is below models and runs. They are core.runs.forecast, fit and
activation_checkpointing.
"""
