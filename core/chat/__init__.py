"""Chat: the base and its adapters answer as rows of one batch, from one copy of the weights.

`adapters` adds each row's own LoRA, `sampling` holds the settings, `lanes` decodes, `host` keeps one model loaded.
"""
