"""A judge: a model that says which of two answers is better, asked in both orders.

`pairwise` builds the questions and reads the replies; `endpoint` asks an OpenAI-compatible server; `judging` asks about
every prompt of an evaluation and keeps the replies; `summary` counts them, and `correction` corrects the count by blind
votes of people on the same rows.
"""
