"""Numbers of things in sentences: "1 row", "2,000 rows", "1 row is", "3 rows are"."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with the noun that agrees with it.

    Args:
        number: How many there are.
        one: The noun for one, with its verb where the sentence has one: "row is".
        many: The same for another number: "rows are". Empty: `one` with an s.
    """
    return f"{number:,} {noun_for(number, one, many)}"


def noun_for(number: int, one: str, many: str = "") -> str:
    """Return the noun that agrees with a number which is shown elsewhere; the arguments are those of `counted`."""
    return one if number == 1 else many or f"{one}s"
