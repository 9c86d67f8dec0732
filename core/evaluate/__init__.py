"""A thousand answers: base and tuned models answer a whole set of prompts, in a process of its own."""
