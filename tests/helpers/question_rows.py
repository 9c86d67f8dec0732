"""Four questions with their answers, as rows under any names of columns, for tests of detected formats."""

QUESTIONS = [
    "How do tides come about?",
    "Who keeps the light at night?",
    "Why is the sea so salty?",
    "Name three birds.",
]
PROSE = [
    "The moon pulls the water.",
    "The keeper does, alone.",
    "Rivers carry salt there.",
    "Gull, tern and auk, I think.",
]


def rows_of(**columns):
    """Return four rows from columns of four values each."""
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


def turns(text):
    """Return a conversation whose answer is a text."""
    return [{"role": "user", "content": "Is it so?"}, {"role": "assistant", "content": text}]
