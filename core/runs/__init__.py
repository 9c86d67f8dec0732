"""Runs: what they are told (`config`, `presets`), where they live (`store`), what they report (`events`), and the
process that trains (`process`). The run directory is the only interface between training and everything else."""
