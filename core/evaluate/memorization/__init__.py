"""Spans of an answer that stand verbatim in the rows that a run was trained on.

`token_index` sorts all positions of the training texts once; `spans` looks the tokens of an answer up in it.
"""
