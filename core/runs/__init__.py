"""Runs: settings (`config`), folders (`store`), events (`events`), queue and worker processes (`process`).

The run folder is the only interface between training and everything else.
"""
