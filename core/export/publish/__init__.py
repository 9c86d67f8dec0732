"""Check before a model is published: personal data and secrets in its rows, and rows that it repeats verbatim.

`findings` searches the rows, `extraction` lets the model continue the beginnings of rows, `check` does both as one job
and stores the result with the run, and the card states it. Cards have numbers only, and no text of any row.
"""
