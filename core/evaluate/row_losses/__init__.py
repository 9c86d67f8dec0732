"""Losses of every row of a dataset under a base model and a run: sources, plans, and the job that measures."""
