"""Statistics of paired scores: intervals, tests and power, for rows that come in clusters such as conversations.

Nothing here knows of models, metrics or files: the input is arrays, the output is numbers. scipy is imported where it
is used, because it takes a second that the start of the app should not cost.
"""
