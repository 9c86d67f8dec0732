"""Instruction data, from a source to tokens with a loss mask.

sources, readers   open a file, a folder or a Hub dataset, and yield its rows
ingest, table      store the rows as Parquet
formats            detect how rows are read, and parse them into conversations (`parse_rows` does it for all rows)
view, rows         search, filter, sort and page with DuckDB
recipe, select_rows, subset   select the rows to train on and the held-out rows
tokens             render a conversation to token ids and labels
export             write a subset as files for other programs
"""
