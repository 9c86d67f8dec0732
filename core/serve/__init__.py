"""OpenAI-compatible API over the chat's engine: the base and every adapter are models with one copy of the weights."""
