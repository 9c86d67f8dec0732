"""OpenAI-compatible API over the chat's engine: a base and its adapters are models that share one copy of weights."""
