"""First check of a user's SQL: a single statement that begins with SELECT or WITH.

Nothing is parsed here. A small tokenizer recognizes comments, quoted texts and names, and dollar quotes, so a keyword
or a semicolon inside one of these does not count. A statement that passes is parsed and run only in a sandboxed process
(core/data/sql_worker.py), which checks every table and function.
"""

import re

from core.errors import StudioError

MAX_CHARACTERS = 20_000
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n\f\v]+|--[^\n]*|/\*.*?\*/)
    | (?P<text>[eE]?'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<unclosed>/\*|['"]|\$\w*\$)
    | (?P<word>[^\W\d][\w$]*)
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
        StudioError: It is empty, too long, has several statements, or begins with a word other than SELECT or WITH.
    """
    if len(sql) > MAX_CHARACTERS:
        raise StudioError(
            f"The SQL has {len(sql):,} characters. Expected at most {MAX_CHARACTERS:,}: name fewer rows in it."
        )
    if "\0" in sql:
        raise StudioError("The SQL contains a NUL character, at which DuckDB stops reading. Remove it.")
    first, body_end = None, len(sql)
    ended = False
    for token in _TOKEN.finditer(sql):
        # The group "tag" lies inside "text" and would be reported as the last group.
        kind = token.lastgroup if token["tag"] is None else "text"
        if kind == "space":
            continue
        # The first one ends the check: to search the rest of the text once for each would take quadratic time.
        if kind == "unclosed":
            raise StudioError(f"The SQL has {token[0][:40]} without its end. Close the comment or the quoted text.")
        if ended and kind != "end":
            raise StudioError("Only one SQL statement is allowed. Remove the text after the semicolon.")
        if kind == "end":
            body_end = token.start() if not ended else body_end
            ended = True
        # Parentheses before the keyword are allowed: (SELECT …) UNION (SELECT …).
        elif first is None and kind != "open":
            first = token[0]
    if first is None:
        raise StudioError("The SQL is empty. Expected one SELECT over the table rows.")
    if first.upper() not in _FIRST:
        raise StudioError(
            f"The SQL begins with {first[:40]!r}. Expected SELECT or WITH: only a query over the table rows is allowed."
        )
    return sql[:body_end]
