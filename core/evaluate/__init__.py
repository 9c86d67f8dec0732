"""Evaluations: base and tuned models answer a set of prompts in one worker process, and the answers are scored."""
