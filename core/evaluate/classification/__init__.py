"""Evaluation of text classification: labels of a prompt set, labels that answers name, and tables of both."""
