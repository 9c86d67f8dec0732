"""The first look at a user's SQL: one statement, and it begins with SELECT or WITH. Nothing is parsed here.

A tokenizer of a few lines knows comments, quoted texts and names, and dollar quotes, so that a keyword or a semicolon
in one of these is not taken for one of the statement. What passes is parsed and run in a locked process alone
(core/data/sql_worker.py), which checks every table and function again.
"""

import re

from core.errors import StudioError

LONGEST = 20_000  # characters of a statement
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n\f\v]+|--[^\n]*|/\*.*?\*/)
    | (?P<text>[eE]?'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<end>;)
    | (?P<open>\()
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_FIRST = {"SELECT", "WITH"}


def one_select(sql: str) -> str:
    """Return `sql` without the semicolon at its end.

    Raises:
        StudioError: it is empty, too long, several statements, or begins with another word than SELECT or WITH.
    """
    if len(sql) > LONGEST:
        raise StudioError(f"The SQL has {len(sql):,} characters. Expected at most {LONGEST:,}: name fewer rows in it.")
    if "\0" in sql:
        raise StudioError("The SQL holds a NUL character, behind which DuckDB reads nothing. Remove it.")
    first, body_end = None, len(sql)
    ended = False
    for token in _TOKEN.finditer(sql):
        kind = token.lastgroup if token["tag"] is None else "text"
        if kind == "space":
            continue
        if ended and kind != "end":
            raise StudioError("The SQL box takes one statement. Remove what stands behind the semicolon.")
        if kind == "end":
            body_end = token.start() if not ended else body_end
            ended = True
        elif first is None and kind != "open":
            first = token[0]
    if first is None:
        raise StudioError("The SQL holds no statement. Expected one SELECT over the table rows.")
    if first.upper() not in _FIRST:
        raise StudioError(
            f"The SQL begins with {first[:40]!r}. Expected SELECT or WITH: the SQL box reads the table rows and runs "
            "nothing else."
        )
    return sql[:body_end]
