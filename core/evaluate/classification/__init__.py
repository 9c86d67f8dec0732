"""Evaluation of text classification: labels of a prompt set, labels that answers name, predictions, and tables."""
