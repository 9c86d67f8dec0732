"""Classification in an evaluation: what a classifier predicts for the prompts of a labeled set."""
